//! The table of ops. Printer, parser, verifier, passes and targets read what they need from here.
//!
//! To add an op, add a row and follow the compile errors and failing tests: the verifier's rule for its class, the
//! interpreter's meaning, and each target's lowering (or its refusal).

/// How the operands and results of an op relate; one verifier rule per class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No operands; the result's type and the attribute `value` say it all. A tile is filled with the value.
    Const,
    /// No operands; an `i32` scalar.
    Index,
    /// No operands; an `i32` tile that counts along `axis`.
    Iota,
    /// One operand, same type.
    Unary,
    /// Two operands of one type, same type.
    Binary,
    /// Three `f32` operands of one shape, same type.
    Fma,
    /// Two operands of one type; `bool` of the same shape. Attribute `pred`.
    Cmp,
    /// A `bool` condition and two operands of one type, all of one shape.
    Select,
    /// One operand; another element type, same shape.
    Cast,
    /// A scalar to a tile of copies.
    Splat,
    /// A tile to one of the same rank in which axes of size 1 are repeated.
    Broadcast,
    /// One tile; `axis` becomes 1.
    Reduce,
    /// One tile; same elements in row-major order, another shape.
    Reshape,
    /// A tile and a `bool` tile of the same shape; the type of the first.
    Pack,
    /// A rank-2 tile; axes exchanged.
    Transpose,
    /// `a`, `b` and optionally an `f32` accumulator, all rank 2; attributes `ta`, `tb`.
    Dot,
    /// A tensor and one offset per axis; attributes `box`, `check`.
    Load,
    /// A tensor, a value and one offset per axis; attributes `box`, `check`; no result.
    Store,
    /// Lower bound, upper bound, initial values; attribute `step`; one region.
    For,
    /// A `bool` scalar; two regions.
    If,
    /// The values that leave the region it ends.
    Yield,
    /// Operands of any scalar or tile type, a message; no result.
    Debug,
    /// One tile of rank 2; axis 1 becomes 8.
    Fold,
    /// A `bool` tile; a `bool`.
    Vote,
    /// Two tiles of rank 2 that differ at most in their extent along `axis`; one with the sum of those.
    Concat,
    /// No operands; a ring. Attributes `name`, `arrivals`.
    Ring,
    /// No operands; a cursor.
    Cursor,
    /// A ring and a cursor; a cursor.
    Advance,
    /// A ring and a cursor; no result.
    Turn,
    /// A tensor, a ring, a cursor and one offset per axis of the tensor; attributes `box`, `row`; no result.
    Fill,
    /// A ring of numbers, a cursor and the number of programs; an i32.
    Draw,
    /// A ring of numbers and a cursor; an i32.
    Take,
    /// A ring and a cursor; a view of a stage.
    Await,
    /// A view; a tile.
    Read,
    /// Tile or view, view, and optionally a tile or a product in flight; a product in flight. Attributes `ta`, `tb`, `parts`.
    Mma,
    /// Products in flight; their tiles. Attribute `left`.
    MmaWait,
    /// A tensor, a tile, a ring and one offset per axis of the tensor; attributes `box`, `parts`; no result.
    Send,
    /// No operands, no result.
    Order,
    /// A tile, a ring and a cursor; a view of the stage.
    Share,
    /// One region without results. Attributes `name`, `first`, `warps`, `registers`.
    Role,
}

/// What an op does besides computing its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: may be removed when unused, merged with its equal, moved.
    None,
    /// Reads memory.
    Read,
    /// Writes memory.
    Write,
    /// Holds regions or ends one; effects are those of the ops inside.
    Control,
    /// Something a person sees, or a stop.
    Visible,
}

/// Who makes an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Kernel authors, through the builder.
    Tile,
    /// Scheduling passes of the code generator only.
    Sched,
}

macro_rules! op_table {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $class:ident, $effect:ident, $level:ident;)+) => {
        /// What an op does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum OpCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl OpCode {
            /// Every op, in table order.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$name),+];

            /// The name in the text form.
            pub const fn name(self) -> &'static str {
                match self { $(OpCode::$name => $text),+ }
            }

            /// The rule its operands and results follow.
            pub const fn class(self) -> Class {
                match self { $(OpCode::$name => Class::$class),+ }
            }

            /// What it does besides computing its results.
            pub const fn effect(self) -> Effect {
                match self { $(OpCode::$name => Effect::$effect),+ }
            }

            /// Who makes it.
            pub const fn level(self) -> Level {
                match self { $(OpCode::$name => Level::$level),+ }
            }

            /// What it means, in a sentence or two.
            pub const fn doc(self) -> &'static str {
                match self { $(OpCode::$name => concat!($($doc, "\n"),+)),+ }
            }
        }
    };
}

op_table! {
    /// A constant; a tile of it where the result is a tile.
    Const = "const", Const, None, Tile;
    /// The value of the runtime dim `name`.
    Dim = "dim", Index, None, Tile;
    /// This program's place on the grid axis `axis`.
    ProgramId = "program_id", Index, None, Tile;
    /// The position along `axis`, counted from 0.
    Iota = "iota", Iota, None, Tile;
    /// A tile of copies of a scalar.
    Splat = "splat", Splat, None, Tile;
    /// Repeats axes of size 1.
    Broadcast = "broadcast", Broadcast, None, Tile;

    /// `-x`.
    Neg = "neg", Unary, None, Tile;
    /// `|x|`.
    Abs = "abs", Unary, None, Tile;
    /// `2^x`, f32.
    Exp2 = "exp2", Unary, None, Tile;
    /// `e^x`, f32.
    Exp = "exp", Unary, None, Tile;
    /// Base-2 logarithm, f32.
    Log2 = "log2", Unary, None, Tile;
    /// Natural logarithm, f32.
    Log = "log", Unary, None, Tile;
    /// Square root, f32.
    Sqrt = "sqrt", Unary, None, Tile;
    /// `1 / sqrt(x)`, f32.
    Rsqrt = "rsqrt", Unary, None, Tile;
    /// Logical not of a bool.
    Not = "not", Unary, None, Tile;

    /// `a + b`.
    Add = "add", Binary, None, Tile;
    /// `a - b`.
    Sub = "sub", Binary, None, Tile;
    /// `a * b`.
    Mul = "mul", Binary, None, Tile;
    /// `a / b`; integers truncate toward zero, and dividing by zero is an error.
    Div = "div", Binary, None, Tile;
    /// Integer remainder, with the sign of `a`.
    Rem = "rem", Binary, None, Tile;
    /// The smaller one; the other one where one is NaN.
    Min = "min", Binary, None, Tile;
    /// The larger one; the other one where one is NaN.
    Max = "max", Binary, None, Tile;
    /// Bitwise and of i32, logical and of bool.
    And = "and", Binary, None, Tile;
    /// Bitwise or of i32, logical or of bool.
    Or = "or", Binary, None, Tile;
    /// Bitwise or logical exclusive or.
    Xor = "xor", Binary, None, Tile;
    /// `a << b`, i32; `b` in 0..32.
    Shl = "shl", Binary, None, Tile;
    /// Arithmetic `a >> b`, i32; `b` in 0..32.
    Shr = "shr", Binary, None, Tile;
    /// `a * b + c`, rounded once.
    Fma = "fma", Fma, None, Tile;
    /// Compares by `pred`.
    Cmp = "cmp", Cmp, None, Tile;
    /// The second operand where the condition holds, else the third.
    Select = "select", Select, None, Tile;
    /// Another element type.
    Cast = "cast", Cast, None, Tile;

    /// Sum along `axis`, f32 or i32.
    ReduceSum = "reduce_sum", Reduce, None, Tile;
    /// Largest along `axis`, f32 or i32; NaN is passed over; `-inf` when all are NaN.
    ReduceMax = "reduce_max", Reduce, None, Tile;
    /// Smallest along `axis`, f32 or i32; NaN is passed over; `inf` when all are NaN.
    ReduceMin = "reduce_min", Reduce, None, Tile;
    /// The elements of each row (along the last axis) whose condition holds, in order, from the row's start on; zeros behind them.
    Pack = "pack", Pack, None, Tile;
    /// The same elements in row-major order under another shape.
    Reshape = "reshape", Reshape, None, Tile;
    /// Axes of a rank-2 tile exchanged.
    Transpose = "transpose", Transpose, None, Tile;
    /// Matrix product: `op(a) op(b) + acc`, with `op` a transposition where `ta` or `tb` is set. `a` and `b` are of one float type.
    Dot = "dot", Dot, None, Tile;

    /// Reads a box of a tensor. The result has the box's extents, with axes of extent 1 left out or put in anywhere.
    Load = "load", Load, Read, Tile;
    /// Writes a box of a tensor.
    Store = "store", Store, Write, Tile;
    /// Adds to a box of an f32 or i32 tensor; concurrent adds all count, in any order.
    AtomicAdd = "atomic_add", Store, Write, Tile;

    /// Counts from the first operand while below the second, by `step`, carrying the others.
    For = "for", For, Control, Tile;
    /// Runs its first region if the condition holds, else its second.
    If = "if", If, Control, Tile;
    /// Ends a region with its values.
    Yield = "yield", Yield, Control, Tile;

    /// Stops with `msg` unless the condition holds everywhere. Without effect on GPUs that do not check.
    Assert = "assert", Debug, Visible, Tile;
    /// Prints `msg` and the operands. Without effect on GPUs that do not check.
    Print = "print", Debug, Visible, Tile;

    /// Sums the columns of equal number modulo 8: what a thread of an accumulator holds of a row, without looking at its neighbours.
    FoldSum = "fold_sum", Fold, None, Sched;
    /// The largest of the columns of equal number modulo 8; NaN is passed over.
    FoldMax = "fold_max", Fold, None, Sched;
    /// Whether the condition holds for some element that this warp has. Different warps may see different answers, so what follows from it
    /// must be right either way.
    Vote = "vote", Vote, None, Sched;
    /// The second tile behind the first along `axis`.
    Concat = "concat", Concat, None, Sched;
    /// The number of this block of threads, of those that were started; where roles come in groups, of this group.
    Cta = "cta", Index, None, Sched;
    /// How many blocks of threads were started; where roles come in groups, how many groups.
    Ctas = "ctas", Index, None, Sched;
    /// The number of programs along the grid axis `axis`.
    Extent = "extent", Index, None, Sched;
    /// Stages in shared memory, all empty, released by `arrivals` arrivals each.
    Ring = "ring", Ring, Visible, Sched;
    /// The first stage of any ring.
    Cursor = "cursor", Cursor, None, Sched;
    /// The stage after; of any ring with as many stages as this one.
    Advance = "advance", Advance, None, Sched;
    /// The same stage, the next time around the ring.
    Lap = "lap", Advance, None, Sched;
    /// Waits until a stage is empty and announces the bytes of a whole stage.
    Acquire = "acquire", Turn, Visible, Sched;
    /// Copies a box of a tensor to the rows of a stage from `row` on; arrives when it is there. What lies beyond the tensor's end is 0.
    Fill = "fill", Fill, Visible, Sched;
    /// The number of a program that nobody has yet, or -1 when there is none; put into a stage of a ring of numbers too, when that is empty. A launch has
    /// so many programs, and every block of threads (or group) starts with the one of its own number.
    Draw = "draw", Draw, Visible, Sched;
    /// The number in a stage of a ring of numbers, when it is full; gives the stage back, with an arrival of every warp of this role.
    Take = "take", Take, Visible, Sched;
    /// Waits until a stage is full.
    Await = "await", Await, Visible, Sched;
    /// Gives a stage back: its readers in this role are done.
    Release = "release", Turn, Visible, Sched;
    /// A stage's content as a tile in registers.
    Read = "read", Read, Visible, Sched;
    /// Starts a matrix product of the warpgroup, `op(a) op(b) + acc`, as one group. Its operands must stay as they are until it is waited for. With `parts`, the
    /// columns of an `[M, N]` product are split into so many parts, which stand below each other: `[M·parts, N/parts]`, a part for each warpgroup.
    Mma = "mma", Mma, Visible, Sched;
    /// Waits until at most `left` groups of products are in flight; those that are given have then ended.
    MmaWait = "mma_wait", MmaWait, Visible, Sched;
    /// Waits until it is this warpgroup's turn. The first turn is that of the role's first warpgroup.
    TakeTurn = "take_turn", Order, Visible, Sched;
    /// Gives the turn to the role's next warpgroup, after the last one to the first.
    PassTurn = "pass_turn", Order, Visible, Sched;
    /// Writes a tile to a box of a tensor through a stage of a ring of this role's own, without waiting for the copy's end.
    Send = "send", Send, Visible, Sched;
    /// Adds a tile to a box of an f32 tensor as `send` writes one; concurrent adds all count, in any order. With `parts`, parts of the box's columns stand
    /// below each other in the tile.
    SendAdd = "send_add", Send, Visible, Sched;
    /// Writes a tile to a stage of a ring of this role's own, and meets the role's other threads there: its products may then read what all have written.
    Share = "share", Share, Visible, Sched;
    /// What `warps` warps from `first` on do, with `registers` registers a thread (0: as launched). One lane of a role of one warp runs it. With `groups`, so
    /// many times as many warps do it, group by group, each group with all rings anew: groups share nothing but the block of threads that they are in.
    Role = "role", Role, Control, Sched;
}

impl OpCode {
    /// The inverse of [`OpCode::name`].
    pub fn from_name(name: &str) -> Option<OpCode> {
        OpCode::ALL.iter().copied().find(|o| o.name() == name)
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pred {
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// `a > b`
    Gt,
    /// `a >= b`
    Ge,
}

impl Pred {
    /// Every comparison.
    pub const ALL: [Pred; 6] = [Pred::Eq, Pred::Ne, Pred::Lt, Pred::Le, Pred::Gt, Pred::Ge];

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Pred::Eq => "eq",
            Pred::Ne => "ne",
            Pred::Lt => "lt",
            Pred::Le => "le",
            Pred::Gt => "gt",
            Pred::Ge => "ge",
        }
    }

    /// The inverse of [`Pred::name`].
    pub fn from_name(name: &str) -> Option<Pred> {
        Pred::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// Every attribute name, with what it holds. The parser accepts no other.
pub const ATTRS: &[(&str, &str)] = &[
    ("value", "a scalar: the constant of `const`"),
    ("name", "a text: the dim of `dim`, the name of a ring or role"),
    ("axis", "an int: of a grid, an iota, a reduction or a `concat`"),
    ("pred", "a comparison"),
    ("ta", "1 if the first operand of `dot` is transposed"),
    ("tb", "1 if the second operand of `dot` is transposed"),
    ("box", "ints: extent per tensor axis of a memory op"),
    ("check", "ints: 1 for each tensor axis on which the box may reach past the end"),
    ("step", "an int: what `for` counts by"),
    (
        "drawn",
        "1 if `for` also ends when the first value that it carries is negative; Hopper's schedules only",
    ),
    ("msg", "a text: of `assert` and `print`"),
    ("arrivals", "an int: arrivals that make a stage of a ring empty"),
    ("row", "an int: the row of a stage that `fill` starts at"),
    ("left", "an int: groups of products that may still be in flight"),
    (
        "parts",
        "an int: into how many parts columns are split, which stand below each other as rows; 1 where it is left out",
    ),
    ("first", "an int: the first warp of a role"),
    ("warps", "an int: the warps of a role"),
    ("registers", "an int: registers per thread of a role; 0 for as launched"),
    (
        "groups",
        "an int: how many times a block of threads has a role, with rings and programs of its own for each; 1 where it is left out",
    ),
];

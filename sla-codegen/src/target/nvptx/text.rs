//! Writes MLIR: fresh names, indentation, and one method for each form of op that the lowering needs.
//!
//! Two streams: the body, in program order, and the head, which opens the function and holds values that depend only on the
//! thread and the arguments. Equal lines of the head are written once. A *section*, what some of the threads do, has a head of its own.

use sla_dsl::diag::Loc;
use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write};
use std::mem;

/// A name in MLIR text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ssa {
    id: u32,
    part: Option<u32>,
}

impl Ssa {
    /// A result of an op with several.
    pub fn part(self, index: usize) -> Ssa {
        Ssa { id: self.id, part: Some(index as u32) }
    }
}

impl fmt::Display for Ssa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => write!(f, "%v{}", self.id),
            Some(p) => write!(f, "%v{}#{p}", self.id),
        }
    }
}

/// A type in MLIR text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ty {
    F32,
    I1,
    I8,
    I16,
    I32,
    I64,
    /// A pointer to global memory.
    Global,
    /// A pointer to an argument that is passed by value.
    Argument,
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ty::F32 => "f32",
            Ty::I1 => "i1",
            Ty::I8 => "i8",
            Ty::I16 => "i16",
            Ty::I32 => "i32",
            Ty::I64 => "i64",
            Ty::Global => "!llvm.ptr<1>",
            Ty::Argument => "!llvm.ptr",
        })
    }
}

impl Ty {
    /// The letter of an inline assembly constraint; 8-bit and boolean values travel as `i32`.
    fn constraint(self) -> &'static str {
        match self {
            Ty::F32 => "f",
            Ty::I16 => "h",
            Ty::I64 | Ty::Global | Ty::Argument => "l",
            Ty::I1 | Ty::I8 | Ty::I32 => "r",
        }
    }
}

/// Joins displayable things with commas.
pub fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut out = String::new();
    for (i, item) in items.into_iter().enumerate() {
        let _ = write!(out, "{}{item}", if i > 0 { ", " } else { "" });
    }
    out
}

/// Text under construction.
#[derive(Default)]
pub struct Text {
    head: String,
    body: String,
    known: HashMap<String, Ssa>,
    /// Head, body and known lines of the sections around this one.
    around: Vec<(String, String, HashMap<String, Ssa>)>,
    /// Lengths of the structures of floats that have a short name in front of the module.
    structures: BTreeSet<usize>,
    next: u32,
    depth: usize,
    /// Behind every line of the body, where places in the source are asked for: the one of the op that is being lowered.
    place: Option<String>,
}

/// A place in the Rust source behind an op; nothing for an unknown one.
pub fn place(loc: Loc) -> String {
    let file = loc.file.replace('\\', "\\\\").replace('"', "\\\"");
    if loc.line == 0 { String::new() } else { format!(" loc(\"{file}\":{}:{})", loc.line, loc.col) }
}

impl Text {
    /// A name that nothing has yet.
    pub fn fresh(&mut self) -> Ssa {
        self.next += 1;
        Ssa { id: self.next, part: None }
    }

    /// From here on every op of the body has its place.
    pub fn with_places(&mut self) {
        self.place = Some(String::new());
    }

    /// Whether they have.
    pub fn has_places(&self) -> bool {
        self.place.is_some()
    }

    /// The place of the ops that follow, if they are to have one; returns the one before. An unknown place is that of what is around it.
    pub fn at(&mut self, loc: Loc) -> Option<String> {
        let before = self.place.clone();
        if self.place.is_some() && loc.line > 0 {
            self.place = Some(place(loc));
        }
        before
    }

    /// Back to a place that [`Text::at`] returned.
    pub fn back(&mut self, place: Option<String>) {
        self.place = place;
    }

    /// A line of the body.
    pub fn line(&mut self, line: impl fmt::Display) {
        let place = self.place.as_deref().unwrap_or_default();
        let _ = writeln!(self.body, "{:1$}{line}{place}", "", 4 + 2 * self.depth);
    }

    /// The name and arguments of a block, which are no op.
    pub fn label(&mut self, line: impl fmt::Display) {
        self.part(line);
    }

    /// A line that is only a part of an op.
    fn part(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.body, "{:1$}{line}", "", 4 + 2 * self.depth);
    }

    /// Opens a region: what follows is indented.
    pub fn open(&mut self, line: impl fmt::Display) {
        self.part(line);
        self.depth += 1;
    }

    /// Closes a region, and with it an op.
    pub fn close(&mut self, line: impl fmt::Display) {
        self.depth -= 1;
        self.line(line);
    }

    /// Closes a region and opens the next one of the same op.
    pub fn reopen(&mut self, line: impl fmt::Display) {
        self.depth -= 1;
        self.open(line);
    }

    /// An op of one result in the body.
    pub fn def(&mut self, rhs: impl fmt::Display) -> Ssa {
        let v = self.fresh();
        self.line(format_args!("{v} = {rhs}"));
        v
    }

    /// An op of one result in the head; all operands must be there too.
    pub fn head(&mut self, rhs: impl fmt::Display) -> Ssa {
        let rhs = rhs.to_string();
        if let Some(&v) = self.known.get(&rhs) {
            return v;
        }
        let v = self.fresh();
        let _ = writeln!(self.head, "    {v} = {rhs}");
        self.known.insert(rhs, v);
        v
    }

    /// Opens a section: a head of its own, which knows what stands in the heads around it.
    pub fn enter(&mut self) {
        let known = self.known.clone();
        self.around.push((
            mem::take(&mut self.head),
            mem::take(&mut self.body),
            mem::replace(&mut self.known, known),
        ));
    }

    /// Closes a section, which becomes a part of the body around it.
    pub fn leave(&mut self) {
        let Some((head, body, known)) = self.around.pop() else { return };
        let inner = mem::replace(&mut self.head, head);
        let end = mem::replace(&mut self.body, body);
        self.body += &inner;
        self.body += &end;
        self.known = known;
    }

    /// The short names of types that the text uses, a line each, for the front of the module.
    pub fn names(&self) -> String {
        let name = |&n: &usize| format!("!floats{n} = !llvm.struct<({})>\n", list(vec![Ty::F32; n]));
        self.structures.iter().map(name).collect()
    }

    /// Head and body.
    pub fn finish(self) -> String {
        self.head + &self.body
    }

    /// An `i32` constant.
    pub fn i32(&mut self, value: i64) -> Ssa {
        self.head(format_args!("arith.constant {} : i32", value as i32))
    }

    /// An `i64` constant.
    pub fn i64(&mut self, value: i64) -> Ssa {
        self.head(format_args!("arith.constant {value} : i64"))
    }

    /// A constant of an integer type.
    pub fn int(&mut self, value: i64, ty: Ty) -> Ssa {
        self.head(format_args!("arith.constant {value} : {ty}"))
    }

    /// A boolean constant.
    pub fn bool(&mut self, value: bool) -> Ssa {
        self.head(format_args!("arith.constant {value}"))
    }

    /// An `f32` constant.
    pub fn f32(&mut self, value: f32) -> Ssa {
        self.head(format_args!("arith.constant 0x{:08X} : f32", value.to_bits()))
    }

    /// `op a, b : ty`.
    pub fn bin(&mut self, op: &str, a: Ssa, b: Ssa, ty: Ty) -> Ssa {
        self.def(format_args!("{op} {a}, {b} : {ty}"))
    }

    /// `op a, b : i32` where both are in the head.
    pub fn head_bin(&mut self, op: &str, a: Ssa, b: Ssa, ty: Ty) -> Ssa {
        self.head(format_args!("{op} {a}, {b} : {ty}"))
    }

    /// `a` plus a constant, `i32`.
    pub fn add_const(&mut self, a: Ssa, c: i64) -> Ssa {
        if c == 0 {
            return a;
        }
        let c = self.i32(c);
        self.bin("arith.addi", a, c, Ty::I32)
    }

    /// `op a : from to to`.
    pub fn cast(&mut self, op: &str, a: Ssa, from: Ty, to: Ty) -> Ssa {
        self.def(format_args!("{op} {a} : {from} to {to}"))
    }

    /// `c ? a : b`.
    pub fn select(&mut self, c: Ssa, a: Ssa, b: Ssa, ty: Ty) -> Ssa {
        self.def(format_args!("arith.select {c}, {a}, {b} : {ty}"))
    }

    /// Inline assembly: `$0…` are the results, then the arguments. With `effects`, its order among memory accesses is kept.
    pub fn asm(&mut self, code: &str, args: &[(Ssa, Ty)], results: &[Ty], effects: bool) -> Vec<Ssa> {
        let outs = results.iter().map(|t| format!("={}", t.constraint()));
        let ins = args.iter().map(|(_, t)| t.constraint().to_string());
        let mut constraints: Vec<String> = outs.chain(ins).collect();
        if effects {
            constraints.push("~{memory}".into());
        }
        let ty = match results {
            [] => "()".to_string(),
            [one] => one.to_string(),
            many => format!("!llvm.struct<({})>", list(many)),
        };
        let rhs = format!(
            "llvm.inline_asm {}asm_dialect = att \"{code}\", \"{}\" {} : ({}) -> {ty}",
            if effects { "has_side_effects " } else { "" },
            constraints.join(","),
            list(args.iter().map(|a| a.0)),
            list(args.iter().map(|a| a.1)),
        );
        match results {
            [] => {
                self.line(rhs);
                Vec::new()
            }
            [_] => vec![self.def(rhs)],
            many => {
                let s = self.def(rhs);
                (0..many.len()).map(|i| self.def(format_args!("llvm.extractvalue {s}[{i}] : {ty}"))).collect()
            }
        }
    }

    /// Inline assembly that writes floats `$0…`, as many as `count`; where `tied` are given, over them. The arguments follow, from `$count` on or,
    /// behind those that are tied, `$2·count` on. Ordered among memory accesses, and no argument shares a register with a result: the asynchronous
    /// instructions that this is for go on reading and writing after it.
    pub fn asm_floats(&mut self, code: &str, count: usize, tied: &[Ssa], args: &[(Ssa, Ty)]) -> Vec<Ssa> {
        let mut constraints = vec!["=&f".to_string(); count];
        constraints.extend((0..tied.len()).map(|i| i.to_string()));
        constraints.extend(args.iter().map(|(_, t)| t.constraint().to_string()));
        constraints.push("~{memory}".into());
        let floats = list(vec![Ty::F32; count]);
        let ty = match count {
            0 => "()".to_string(),
            1 => floats,
            _ => {
                self.structures.insert(count);
                format!("!floats{count}")
            }
        };
        let values = tied.iter().copied().chain(args.iter().map(|a| a.0));
        let types = tied.iter().map(|_| Ty::F32).chain(args.iter().map(|a| a.1));
        let rhs = format!(
            "llvm.inline_asm has_side_effects asm_dialect = att \"{code}\", \"{}\" {} : ({}) -> {ty}",
            constraints.join(","),
            list(values),
            list(types),
        );
        match count {
            0 => {
                self.line(rhs);
                Vec::new()
            }
            1 => vec![self.def(rhs)],
            _ => {
                let s = self.def(rhs);
                (0..count).map(|i| self.def(format_args!("llvm.extractvalue {s}[{i}] : {ty}"))).collect()
            }
        }
    }

    /// An instruction with effects, done where the flag (a boolean) holds; always if there is none. The arguments are `$0…`.
    pub fn asm_if(&mut self, flag: Option<Ssa>, code: &str, args: &[(Ssa, Ty)]) {
        match flag {
            None => self.asm(code, args, &[], true),
            Some(flag) => {
                let mut args = args.to_vec();
                args.push((self.cast("arith.extui", flag, Ty::I1, Ty::I32), Ty::I32));
                let code = format!("{{ .reg .pred p; setp.ne.b32 p, ${}, 0; @p {code} }}", args.len() - 1);
                self.asm(&code, &args, &[], true)
            }
        };
    }

    /// The same values, computed before this point: an empty assembly takes and gives them.
    pub fn pinned(&mut self, values: &[Ssa], ty: Ty) -> Vec<Ssa> {
        let outs = vec![format!("={}", ty.constraint()); values.len()];
        let ins = (0..values.len()).map(|i| i.to_string());
        let rhs = |result: String| {
            format!(
                "llvm.inline_asm has_side_effects asm_dialect = att \"\", \"{}\" {} : ({}) -> {result}",
                outs.iter().cloned().chain(ins.clone()).collect::<Vec<_>>().join(","),
                list(values),
                list(vec![ty; values.len()]),
            )
        };
        match values {
            [_] => vec![self.def(rhs(ty.to_string()))],
            many => {
                let all = format!("!llvm.struct<({})>", list(vec![ty; many.len()]));
                let s = self.def(rhs(all.clone()));
                (0..many.len())
                    .map(|i| self.def(format_args!("llvm.extractvalue {s}[{i}] : {all}")))
                    .collect()
            }
        }
    }

    /// Inline assembly with one result and no effects.
    pub fn asm1(&mut self, code: &str, args: &[(Ssa, Ty)], result: Ty) -> Ssa {
        self.asm(code, args, &[result], false)[0]
    }

    /// All threads of the block meet, and see each other's writes. MLIR takes a place behind a barrier for an operand.
    pub fn barrier(&mut self) {
        self.part("nvvm.barrier");
    }

    /// So many threads meet at a barrier with a number, and see each other's writes.
    pub fn named_barrier(&mut self, id: Ssa, threads: u32) {
        let threads = self.i32(threads.into());
        self.part(format_args!("nvvm.barrier id = {id} number_of_threads = {threads}"));
    }
}

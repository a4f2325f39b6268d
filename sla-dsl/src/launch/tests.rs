//! One test for each rule of `bind`, on a made-up attention signature.

use super::*;
use crate::diag::Loc;
use crate::ir::{DimExpr, Elem, GridAxis, MemFacts, Param, ParamKind, Scalar, TensorType};
use crate::lang::{Const, Consts, Generic, GenericKind, KernelDef, Require};

fn d(name: &str) -> DimExpr {
    DimExpr::name(name)
}

fn tensor(name: &str, elem: Elem, dims: Vec<DimExpr>, mutable: bool) -> Param {
    let kind = ParamKind::Tensor(TensorType { elem, dims, mutable });
    Param { name: name.to_string(), kind, memory: MemFacts::default() }
}

fn params(c: &Consts) -> Vec<Param> {
    let head = DimExpr::from(c.int("D"));
    vec![
        tensor("q", Elem::F32, vec![d("H"), d("LQ"), head.clone()], false),
        tensor("k", Elem::F32, vec![d("H"), d("LK"), head.clone()], false),
        tensor("lut", Elem::I32, vec![d("H"), d("LQ").div_ceil(64.into())], false),
        tensor("out", Elem::F32, vec![d("H"), d("LQ"), head], true),
        Param { name: "scale".into(), kind: ParamKind::Scalar(Elem::F32), memory: MemFacts::default() },
    ]
}

fn grid(_: &Consts) -> Vec<GridAxis> {
    vec![
        GridAxis { name: "m".into(), extent: d("LQ").div_ceil(64.into()) },
        GridAxis { name: "h".into(), extent: d("H") },
    ]
}

static DEF: KernelDef = KernelDef {
    name: "attend",
    doc: "",
    loc: Loc::UNKNOWN,
    generics: &[Generic { name: "D", kind: GenericKind::Int }],
    dims: &["H", "LQ", "LK"],
    grid,
    params,
    require: &[Require { text: "LQ <= LK", holds: |_, dim| Some(dim("LQ")? <= dim("LK")?) }],
    tune: crate::lang::TuneSpace::NONE,
    body: |b, _| {
        // The second question is only asked once the first was answered with yes.
        if b.is_even(&d("LQ"), 64) {
            b.is_even(&d("LK"), 32);
        }
    },
};

/// A launch that is right; each test breaks one thing.
struct Case {
    elem: [Elem; 4],
    shape: [Vec<usize>; 4],
    strides: [Vec<i64>; 4],
    address: [usize; 4],
    space: [Space; 4],
    mutable: bool,
    scale: Scalar,
}

fn packed(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i] as i64;
    }
    strides
}

impl Case {
    fn new(h: usize, lq: usize, lk: usize) -> Case {
        let shape = [vec![h, lq, 16], vec![h, lk, 16], vec![h, lq.div_ceil(64)], vec![h, lq, 16]];
        Case {
            elem: [Elem::F32, Elem::F32, Elem::I32, Elem::F32],
            strides: std::array::from_fn(|i| packed(&shape[i])),
            shape,
            address: [1 << 20, 2 << 20, 3 << 20, 4 << 20],
            space: [Space::Host; 4],
            mutable: true,
            scale: Scalar::Float(0.5),
        }
    }

    fn args(&self) -> Vec<Arg<'_>> {
        let mut args: Vec<Arg<'_>> = (0..4)
            .map(|i| {
                let mutable = i == 3 && self.mutable;
                // SAFETY: the memory is only described; `bind` never touches it.
                Arg::Tensor(unsafe {
                    TensorArg::from_raw(
                        self.elem[i],
                        &self.shape[i],
                        &self.strides[i],
                        self.address[i],
                        self.space[i],
                        mutable,
                    )
                })
            })
            .collect();
        args.push(Arg::Scalar(self.scale));
        args
    }

    fn bind(&self) -> Result<Bound, LaunchError> {
        bind(&DEF, &consts(), &self.args())
    }

    /// The message of the refusal; fails if the launch is accepted.
    #[track_caller]
    fn refused(&self, message: &str) {
        let found = self.bind().expect_err("the launch must be refused").to_string();
        assert_eq!(found, format!("attend: {message}"));
    }
}

fn consts() -> Consts {
    Consts::new(&[("D", Const::Int(16))])
}

#[test]
fn a_right_launch_binds() {
    let b = Case::new(2, 130, 200).bind().unwrap();
    assert_eq!(b.dims, [2, 130, 200]);
    assert_eq!(b.grid, [3, 2]);
    assert_eq!(b.programs(), 6);
    assert_eq!(b.space, Some(Space::Host));
    assert_eq!(b.facts.memory[0], MemFacts::default());
    // 3 * 4 bytes a row.
    assert_eq!(b.facts.memory[2], MemFacts { aligned: false, ..MemFacts::default() });
    assert_eq!(b.facts.memory[4], MemFacts::default());
}

#[test]
fn questions_of_sizes_are_answered_until_none_is_left() {
    let b = Case::new(1, 128, 200).bind().unwrap();
    let k = b.specialise(&DEF, &consts()).unwrap();
    assert_eq!(k.even.get(&(d("LQ"), 64)), Some(&true));
    assert_eq!(k.even.get(&(d("LK"), 32)), Some(&false));
    let k = Case::new(1, 130, 192).bind().unwrap().specialise(&DEF, &consts()).unwrap();
    assert_eq!(k.even.len(), 1);
    assert_eq!(k.even.get(&(d("LQ"), 64)), Some(&false));
}

#[test]
fn constants_are_checked() {
    let c = Case::new(1, 64, 64);
    let e = bind(&DEF, &Consts::default(), &c.args()).unwrap_err();
    assert!(e.to_string().contains("no value is given for the generic `D`"), "{e}");
}

#[test]
fn count_and_kinds() {
    let c = Case::new(1, 64, 64);
    let mut args = c.args();
    args.pop();
    let e = bind(&DEF, &consts(), &args).unwrap_err();
    assert_eq!(e.to_string(), "attend: takes 5 arguments, 4 were given");
    let mut args = c.args();
    args[1] = Arg::Scalar(Scalar::Int(1));
    let e = bind(&DEF, &consts(), &args).unwrap_err();
    assert_eq!(e.to_string(), "attend: 'k' is a number, it must be a tensor");
    let mut args = c.args();
    args[4] = args[0].clone();
    let e = bind(&DEF, &consts(), &args).unwrap_err();
    assert_eq!(e.to_string(), "attend: 'scale' is a tensor, it must be a number");
}

#[test]
fn element_types() {
    let mut c = Case::new(1, 64, 64);
    c.elem[1] = Elem::BF16;
    c.refused("'k' has elements of bf16, they must be f32");
    let mut c = Case::new(1, 64, 64);
    c.scale = Scalar::Int(1);
    c.refused("'scale' is the integer 1, it must be a value of f32");
}

#[test]
fn integers_must_fit_their_type() {
    use super::bind::holds;
    assert!(holds(Elem::I32, Scalar::Int(-5)));
    assert!(!holds(Elem::I32, Scalar::Int(1 << 31)));
    assert!(!holds(Elem::I8, Scalar::Int(128)));
    assert!(holds(Elem::Bool, Scalar::Bool(true)));
    assert!(!holds(Elem::Bool, Scalar::Int(1)));
}

#[test]
fn ranks() {
    let mut c = Case::new(1, 64, 64);
    c.shape[0] = vec![64, 16];
    c.strides[0] = packed(&[64, 16]);
    c.refused("'q' has 2 axes, it must have 3: [H, LQ, 16]");
    let mut c = Case::new(1, 64, 64);
    c.strides[0].pop();
    c.refused("'q' has 3 axes but 2 strides");
}

#[test]
fn dims_agree_over_all_arguments() {
    let mut c = Case::new(2, 64, 64);
    c.shape[3][1] = 60;
    c.refused("dim LQ is 64 in 'q' (axis 1) but 60 in 'out' (axis 1)");
    let mut c = Case::new(2, 64, 64);
    c.shape[1][2] = 32;
    c.refused("'k' has size 32 along axis 2, it must be 16");
    let mut c = Case::new(2, 130, 200);
    c.shape[2][1] = 2;
    c.refused("'lut' has size 2 along axis 1, it must be 3: LQ.div_ceil(64) with LQ=130");
}

#[test]
fn a_dim_that_nothing_determines_is_refused() {
    static LOST: KernelDef = KernelDef {
        dims: &["L"],
        generics: &[],
        grid: |_| Vec::new(),
        params: |_| vec![tensor("x", Elem::F32, vec![d("L").mul(2.into())], false)],
        require: &[],
        tune: crate::lang::TuneSpace::NONE,
        body: |_, _| {},
        name: "lost",
        doc: "",
        loc: Loc::UNKNOWN,
    };
    // SAFETY: the memory is only described.
    let x = unsafe { TensorArg::from_raw(Elem::F32, &[8], &[1], 64, Space::Host, false) };
    let e = bind(&LOST, &Consts::default(), &[Arg::Tensor(x)]).unwrap_err();
    assert_eq!(e.to_string(), "lost: no argument determines the dim L");
}

#[test]
fn sizes_have_bounds() {
    let mut c = Case::new(1, 64, 64);
    c.shape[1][1] = 0;
    c.refused("'k' is empty: its axis 1 (LK) has size 0, it must be at least 1");
    c.shape[1][1] = 1 << 31;
    c.refused("'k' has size 2147483648 along axis 1 (LK), at most 2147483647 is possible");
}

#[test]
fn requirements_of_the_author() {
    Case::new(1, 65, 64).refused("requires LQ <= LK, which does not hold with D=16, H=1, LQ=65, LK=64");
}

#[test]
fn strides_and_reach() {
    let mut c = Case::new(1, 64, 64);
    c.strides[1][1] = -16;
    c.refused("'k' has stride -16 along axis 1, strides must not be negative");
    c.strides[1][1] = i64::MAX / 8;
    let e = c.bind().unwrap_err();
    assert!(matches!(*e.reason, Refusal::Span { .. }), "{e}");
}

#[test]
fn outputs_do_not_overlap_themselves() {
    let mut c = Case::new(2, 64, 64);
    c.strides[3][0] = 0;
    c.refused(
        "'out' is written, but elements of it may share memory: its axis 0 has stride 0, it must be at least 1",
    );
    // Rows of 16 elements that start 8 apart.
    c.strides[3] = vec![1024, 8, 1];
    c.refused(
        "'out' is written, but elements of it may share memory: its axis 1 has stride 8, it must be at least 16",
    );
    // A broadcast input and a transposed output are fine, and so is any stride on an axis of size 1.
    let mut c = Case::new(2, 64, 64);
    c.strides[0][0] = 0;
    c.strides[3] = vec![16, 32, 1];
    c.bind().unwrap();
    let mut c = Case::new(1, 64, 64);
    c.strides[3][0] = 0;
    c.bind().unwrap();
}

#[test]
fn addresses() {
    let mut c = Case::new(1, 64, 64);
    c.address[0] += 2;
    c.refused("'q' is at address 0x100002, which is not a multiple of 4 bytes");
    c.address[0] = 0;
    c.refused("'q' has no memory: its address is null");
}

#[test]
fn one_memory_space() {
    let mut c = Case::new(1, 64, 64);
    c.space[2] = Space::Cuda(1);
    c.refused("'lut' is in the memory of cuda:1, but 'q' is in that of the host");
}

#[test]
fn outputs_are_lent_for_writing() {
    let mut c = Case::new(1, 64, 64);
    c.mutable = false;
    c.refused("'out' is written, but was lent for reading only or shares its memory with another tensor");
}

#[test]
fn outputs_overlap_no_other_argument() {
    let mut c = Case::new(1, 64, 64);
    c.address[3] = c.address[1] + 64 * 16 * 4 - 4;
    c.refused("'out' is written, but its memory overlaps that of 'k'");
    c.address[3] += 4;
    c.bind().unwrap();
    // Inputs may interleave: q and k as slices of one tensor [H, L, 2, D].
    let mut c = Case::new(1, 64, 64);
    c.strides[0] = vec![2048, 32, 1];
    c.strides[1] = vec![2048, 32, 1];
    c.address[1] = c.address[0] + 64;
    c.bind().unwrap();
}

#[test]
fn a_form_that_was_bound_asks_only_where_tensors_lie() {
    let bound = Case::new(1, 64, 64).bind().unwrap();
    let mut c = Case::new(1, 64, 64);
    c.address = [7 << 20, 8 << 20, 9 << 20, 10 << 20];
    assert!(Form::of(&Case::new(1, 64, 64).args()).is_of(&c.args()) && bound.places(&c.args()));
    // Inputs may overlap, an output nothing, and everything must be somewhere.
    c.address[0] = c.address[1];
    assert!(bound.places(&c.args()));
    c.address[3] = c.address[1] + 64 * 16 * 4 - 16;
    assert!(!bound.places(&c.args()) && c.bind().is_err());
    c.address[3] += 16;
    assert!(bound.places(&c.args()) && c.bind().is_ok());
    c.address[0] = 0;
    assert!(!bound.places(&c.args()) && c.bind().is_err());
    c.address[0] = usize::MAX - 15;
    assert!(!bound.places(&c.args()) && c.bind().is_err());
}

#[test]
fn memory_facts() {
    let mut c = Case::new(2, 64, 64);
    c.strides[0] = vec![16, 32, 1];
    assert_eq!(c.bind().unwrap().facts.memory[0], MemFacts::default());
    c.strides[0] = vec![1, 32, 2];
    assert_eq!(c.bind().unwrap().facts.memory[0], MemFacts { packed: false, aligned: false, positive: true });
    let mut c = Case::new(2, 64, 64);
    c.address[0] += 4;
    assert_eq!(c.bind().unwrap().facts.memory[0], MemFacts { aligned: false, ..MemFacts::default() });
}

#[test]
fn the_grid_has_a_bound() {
    let mut c = Case::new(1, 1 << 21, 1 << 21);
    for i in 0..4 {
        c.shape[i][0] = 1 << 16;
        c.strides[i] = packed(&c.shape[i]);
        c.address[i] = (i + 1) << 45;
    }
    c.refused("the grid has 2147483648 programs, at most 2147483647 are possible");
}

#[test]
fn no_part_of_a_size_is_negative() {
    static SHORT: KernelDef = KernelDef {
        dims: &["L"],
        generics: &[],
        grid: |_| {
            let extent = d("L").sub(64.into()).div(2.into()).add(40.into());
            vec![GridAxis { name: "i".into(), extent }]
        },
        params: |_| vec![tensor("x", Elem::F32, vec![d("L")], false)],
        require: &[],
        tune: crate::lang::TuneSpace::NONE,
        body: |_, _| {},
        name: "short",
        doc: "",
        loc: Loc::UNKNOWN,
    };
    let bind = |l: usize| {
        // SAFETY: the memory is only described.
        let x = unsafe { TensorArg::from_raw(Elem::F32, &[l], &[1], 64, Space::Host, false) };
        bind(&SHORT, &Consts::default(), &[Arg::Tensor(x)])
    };
    assert_eq!(bind(66).unwrap().grid, [41]);
    assert_eq!(
        bind(10).unwrap_err().to_string(),
        "short: (((L - 64) / 2) + 40) is not a size: its part (L - 64) is negative with L=10"
    );
}

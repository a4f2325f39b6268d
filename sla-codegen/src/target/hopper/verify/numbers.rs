//! Scalars of a case: constants, and expressions over unknowns, which get their numbers only when a loop or an `if` needs them.
//!
//! Equal expressions are one term, and a place of a tensor is one unknown, so all roles see one number. What no loop asked for is given a number
//! of no meaning. [`solve`](super::solve) chooses the others.

use super::cases::{Case, Log, Question};
use super::program::{Program, dim_unit};
use sla_dsl::ir::{Elem, Kernel, Op, OpCode, Pred, Scalar, Type, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// Terms deeper than this are made numbers, so that walks over them are short.
const MAX_DEPTH: u8 = 16;

/// A scalar of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Num {
    /// A number; truth values are 0 and 1.
    Known(i32),
    /// An expression over unknowns.
    Term(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Term {
    /// A runtime dim, by its place among the kernel's.
    Dim(usize),
    /// Programs along an axis of the grid.
    Extent(i64),
    Cta,
    Ctas,
    /// A program's place along an axis of the grid.
    Program(i64),
    Param(Value),
    /// An element of a tensor whose place is known.
    Element {
        tensor: Value,
        elem: Elem,
        at: Vec<i32>,
    },
    /// An element of a tensor.
    Load {
        tensor: Value,
        elem: Elem,
        offsets: Rc<[Num]>,
    },
    /// Arithmetic on integers and truth values.
    Op {
        code: OpCode,
        pred: Option<Pred>,
        elem: Elem,
        args: Rc<[Num]>,
    },
    /// What is not followed: floats, and what is made of them.
    Opaque {
        code: OpCode,
        pred: Option<Pred>,
        elem: Elem,
        bits: u64,
        args: Rc<[Num]>,
    },
}

/// The scalars of one case.
pub struct Numbers<'k> {
    pub(super) kernel: &'k Kernel,
    pub(super) program: &'k Program,
    case: Case,
    /// What was asked of the case.
    pub log: Log,
    terms: Vec<Term>,
    ids: HashMap<Term, u32>,
    depth: Vec<u8>,
    /// Numbers of unknowns.
    pub(super) value: Vec<Option<i32>>,
    /// The next number of no meaning.
    fresh: i32,
    pub(super) loops: usize,
    pub(super) ways: usize,
    /// Numbers of unknowns are tried.
    pub(super) searching: bool,
}

impl<'k> Numbers<'k> {
    /// With nothing decided.
    pub fn new(kernel: &'k Kernel, program: &'k Program, case: Case) -> Numbers<'k> {
        Numbers {
            kernel,
            program,
            case,
            log: Log::default(),
            terms: Vec::new(),
            ids: HashMap::new(),
            depth: Vec::new(),
            value: Vec::new(),
            fresh: 0,
            loops: 0,
            ways: 0,
            searching: false,
        }
    }

    /// Asks the case, and keeps that it was asked.
    pub(super) fn ask(&mut self, q: Question) -> i32 {
        let answer = self.case.answer(q);
        if !self.log.0.contains(&(q, answer)) {
            self.log.0.push((q, answer));
        }
        answer
    }

    /// The value of a parameter.
    pub fn param(&mut self, v: Value) -> Num {
        self.intern(Term::Param(v), 0)
    }

    /// The result of an op on scalars, with one result.
    pub fn op(&mut self, op: &Op, args: &[Num]) -> Num {
        let args: Vec<Num> = args.iter().map(|&a| self.settled(a)).collect();
        let term = match self.term(op, &args) {
            Ok(term) => term,
            Err(known) => return Num::Known(known),
        };
        let depth = 1 + args.iter().map(|a| self.depth_of(*a)).max().unwrap_or(0);
        let num = self.intern(term, depth);
        if depth >= MAX_DEPTH {
            self.decide(&[num]);
            return Num::Known(self.eval(num).unwrap_or(0));
        }
        self.settled(num)
    }

    /// The expression that an op is, or its number.
    fn term(&mut self, op: &Op, args: &[Num]) -> Result<Term, i32> {
        let k = self.kernel;
        let elem = k.ty(op.results[0]).elem().unwrap_or(Elem::F32);
        let axis = op.int("axis").unwrap_or(0);
        let known = |args: &[Num]| {
            let known = args.iter().map(|a| if let Num::Known(n) = a { Some(*n) } else { None });
            known.collect::<Option<Vec<i32>>>()
        };
        Ok(match op.code {
            OpCode::Const => match op.scalar() {
                Some(Scalar::Int(c)) => return Err(c as i32),
                Some(Scalar::Bool(b)) => return Err(b as i32),
                c => {
                    let bits = if let Some(Scalar::Float(f)) = c { f.to_bits() } else { 0 };
                    Term::Opaque { code: op.code, pred: None, elem, bits, args: Rc::new([]) }
                }
            },
            OpCode::Dim => Term::Dim(k.dims.iter().position(|d| d == op.str("name")).unwrap_or(0)),
            OpCode::Extent => Term::Extent(axis),
            OpCode::Cta => Term::Cta,
            OpCode::Ctas => Term::Ctas,
            OpCode::ProgramId => Term::Program(axis),
            OpCode::Load => {
                let mut offsets = args[1..].to_vec();
                if elem.is_float() {
                    self.decide(&offsets);
                    offsets.iter_mut().for_each(|n| *n = self.eval(*n).map_or(*n, Num::Known));
                }
                match known(&offsets) {
                    Some(at) => Term::Element { tensor: op.operands[0], elem, at },
                    None => Term::Load { tensor: op.operands[0], elem, offsets: offsets.into() },
                }
            }
            code => {
                let exact = |&v: &Value| {
                    matches!(k.ty(v), Type::Scalar(_)) && k.ty(v).elem().is_some_and(|e| !e.is_float())
                };
                let followed = op.operands.iter().chain(&op.results).all(exact);
                let pred = op.pred();
                if followed && apply(code, pred, elem, &[1, 1, 1]).is_some() {
                    match known(args).and_then(|n| apply(code, pred, elem, &n)) {
                        Some(n) => return Err(n),
                        None => Term::Op { code, pred, elem, args: args.into() },
                    }
                } else {
                    // Integers in it are numbers from here on, so that equal expressions stay equal.
                    let ints = op.operands.iter().zip(args).filter(|(v, _)| exact(v));
                    let ints: Vec<Num> = ints.map(|(_, &n)| n).collect();
                    self.decide(&ints);
                    let args = args.iter().map(|&n| self.eval(n).map_or(n, Num::Known)).collect();
                    Term::Opaque { code, pred, elem, bits: 0, args }
                }
            }
        })
    }

    /// A scalar, as a number if it is one by now.
    fn settled(&self, n: Num) -> Num {
        match n {
            Num::Term(id) => self.value[id as usize].map_or(n, Num::Known),
            known => known,
        }
    }

    /// Gives numbers of no meaning to all that some scalars need.
    fn decide(&mut self, of: &[Num]) {
        for m in self.missing(of) {
            self.value[m as usize] = Some(self.default(m));
        }
    }

    fn depth_of(&self, n: Num) -> u8 {
        match n {
            Num::Known(_) => 0,
            Num::Term(t) => self.depth[t as usize],
        }
    }

    fn intern(&mut self, term: Term, depth: u8) -> Num {
        if let Some(&id) = self.ids.get(&term) {
            return Num::Term(id);
        }
        let id = self.terms.len() as u32;
        self.ids.insert(term.clone(), id);
        let value = match term {
            Term::Cta => Some(self.ask(Question::Cta)),
            Term::Ctas => Some(self.ask(Question::Ctas)),
            _ => None,
        };
        self.terms.push(term);
        self.depth.push(depth);
        self.value.push(value);
        Num::Term(id)
    }

    /// The number of a scalar, or an unknown that it needs first.
    pub(super) fn eval(&mut self, n: Num) -> Result<i32, u32> {
        let id = match n {
            Num::Known(n) => return Ok(n),
            Num::Term(id) => id,
        };
        if let Some(v) = self.value[id as usize] {
            return Ok(v);
        }
        match self.terms[id as usize].clone() {
            Term::Op { code, pred, elem, args } => {
                let args = args.iter().map(|&a| self.eval(a)).collect::<Result<Vec<i32>, u32>>()?;
                let n = apply(code, pred, elem, &args).unwrap_or(0);
                // While unknowns are searched for, nothing holds for longer.
                if !self.searching {
                    self.value[id as usize] = Some(n);
                }
                Ok(n)
            }
            Term::Load { tensor, elem, offsets } => {
                let at = offsets.iter().map(|&a| self.eval(a)).collect::<Result<Vec<i32>, u32>>()?;
                let element = self.intern(Term::Element { tensor, elem, at }, 0);
                let n = self.eval(element)?;
                if !self.searching {
                    self.value[id as usize] = Some(n);
                }
                Ok(n)
            }
            _ => Err(id),
        }
    }

    /// The unknowns that some scalars need, each once. Unknowns in the places of loads get numbers at once, as no loop can ask for them.
    pub(super) fn missing(&mut self, of: &[Num]) -> Vec<u32> {
        let mut found = Vec::new();
        let mut seen = Vec::new();
        of.iter().for_each(|&n| self.missing_in(n, &mut seen, &mut found));
        found
    }

    fn missing_in(&mut self, n: Num, seen: &mut Vec<u32>, found: &mut Vec<u32>) {
        let Num::Term(id) = n else { return };
        if self.value[id as usize].is_some() || seen.contains(&id) {
            return;
        }
        seen.push(id);
        match self.terms[id as usize].clone() {
            Term::Op { args, .. } => args.iter().for_each(|&a| self.missing_in(a, seen, found)),
            Term::Load { offsets, .. } => {
                self.decide(&offsets);
                if let Err(element) = self.eval(n)
                    && !found.contains(&element)
                {
                    found.push(element);
                }
            }
            _ => found.push(id),
        }
    }

    /// A number for an unknown that no loop asked for. Elements of tensors differ, so that rows found through a list do.
    pub(super) fn default(&mut self, unknown: u32) -> i32 {
        match &self.terms[unknown as usize] {
            Term::Dim(d) => dim_unit(self.kernel, &self.kernel.dims[*d]),
            Term::Extent(_) | Term::Param(_) => 1,
            Term::Element { elem: Elem::I32, .. } => {
                self.fresh += 1;
                self.fresh - 1
            }
            _ => 0,
        }
    }

    /// The step and the largest number of an unknown; all are at least 0.
    pub(super) fn domain(&self, unknown: u32) -> (i32, i32) {
        match &self.terms[unknown as usize] {
            Term::Dim(d) => (dim_unit(self.kernel, &self.kernel.dims[*d]), 1 << 24),
            Term::Element { elem, .. } | Term::Opaque { elem, .. } => match elem {
                Elem::Bool => (1, 1),
                Elem::I8 => (1, 127),
                _ => (1, 1 << 24),
            },
            _ => (1, 1 << 24),
        }
    }

    /// Whether an unknown is a size in elements, which loops count in blocks.
    pub(super) fn is_size(&self, unknown: u32) -> bool {
        matches!(self.terms[unknown as usize], Term::Dim(_))
    }
}

/// An op on integers and truth values; `None` if it is not one. Dividing by zero gives 0: whether it happens is not asked here.
fn apply(code: OpCode, pred: Option<Pred>, elem: Elem, args: &[i32]) -> Option<i32> {
    let (a, b) = (*args.first()?, args.get(1).copied());
    Some(match (code, b) {
        (OpCode::Neg, _) => a.wrapping_neg(),
        (OpCode::Abs, _) => a.wrapping_abs(),
        (OpCode::Not, _) => (a == 0) as i32,
        (OpCode::Cast, _) => match elem {
            Elem::Bool => (a != 0) as i32,
            Elem::I8 => a as i8 as i32,
            _ => a,
        },
        (OpCode::Add, Some(b)) => a.wrapping_add(b),
        (OpCode::Sub, Some(b)) => a.wrapping_sub(b),
        (OpCode::Mul, Some(b)) => a.wrapping_mul(b),
        (OpCode::Div, Some(b)) => {
            if b == 0 {
                0
            } else {
                a.wrapping_div(b)
            }
        }
        (OpCode::Rem, Some(b)) => {
            if b == 0 {
                0
            } else {
                a.wrapping_rem(b)
            }
        }
        (OpCode::Min, Some(b)) => a.min(b),
        (OpCode::Max, Some(b)) => a.max(b),
        (OpCode::And, Some(b)) => a & b,
        (OpCode::Or, Some(b)) => a | b,
        (OpCode::Xor, Some(b)) => a ^ b,
        (OpCode::Shl, Some(b)) => a.wrapping_shl(b as u32),
        (OpCode::Shr, Some(b)) => a.wrapping_shr(b as u32),
        (OpCode::Select, Some(b)) => {
            if a != 0 {
                b
            } else {
                *args.get(2)?
            }
        }
        (OpCode::Cmp, Some(b)) => compare(pred?, a, b) as i32,
        _ => return None,
    })
}

fn compare(pred: Pred, a: i32, b: i32) -> bool {
    match pred {
        Pred::Eq => a == b,
        Pred::Ne => a != b,
        Pred::Lt => a < b,
        Pred::Le => a <= b,
        Pred::Gt => a > b,
        Pred::Ge => a >= b,
    }
}

//! Loops and branches: what they run over, and what may change in them.

use crate::check::Checker;
use crate::check::env::Region;
use crate::check::kind::{Elem, Kind};
use crate::check::poly::Poly;
use crate::check::walk;
use syn::{Block, Expr, ExprForLoop, ExprIf, ExprRange, Pat, RangeLimits};

/// What a loop runs over.
enum Head {
    /// Counted when the kernel runs.
    Counted,
    /// Written out when the kernel is built.
    Unrolled,
    /// Reported, or not known.
    Unclear,
}

impl Checker {
    /// Reports a condition that is no bool; whether it is decided when the kernel runs.
    pub fn condition(&mut self, kind: &Kind, at: &Expr, of: &str) -> bool {
        let Some(kind) = self.loaded(kind, at).cloned() else { return false };
        match &kind {
            Kind::Unknown | Kind::Bool => return false,
            Kind::Scalar(e) if e.may_be(&[Elem::Bool]) => return true,
            Kind::Tile(Elem::Bool, s) => {
                let hint = "choose per element with `select(c, a, b)`";
                self.error(
                    at,
                    format!("the condition of {of} is a bool tile of shape {s}, not one bool: {hint}"),
                );
            }
            k => {
                let what = k.describe();
                let hint = if matches!(k, Kind::Int(_) | Kind::Scalar(Elem::I32)) {
                    ": compare it, as in `x != 0`"
                } else {
                    ""
                };
                self.error(at, format!("the condition of {of} is a bool, this is {what}{hint}"));
            }
        }
        false
    }

    /// Variables that are constants, and are assigned in a region, are values from its start.
    fn settle(&mut self, blocks: &[&Block]) {
        for (name, also_declared) in walk::assigned(blocks) {
            if let Some(k) = self.env.get(&name).cloned() {
                let runtime = k.clone().at_run_time();
                if runtime != k {
                    self.env.set(&name, if also_declared { Kind::Unknown } else { runtime });
                }
            }
        }
    }

    /// `if c { .. } else { .. }`.
    pub fn if_(&mut self, i: &ExprIf) -> Kind {
        let cond = self.expr(&i.cond);
        let at_run_time = self.condition(&cond, &i.cond, "`if`");
        if at_run_time { self.branch(i) } else { self.choice(i) }
    }

    /// An `if` that is decided when the kernel runs: both sides leave everything as it was.
    fn branch(&mut self, i: &ExprIf) -> Kind {
        self.settle(&branches(i));
        let then = self.block(&i.then_branch, Region::Branch);
        let Some((_, other)) = &i.else_branch else { return Kind::Unit };
        let otherwise = self.otherwise(other, Region::Branch);
        if let Some(diff) = self.diff(&then, &otherwise) {
            let at: &dyn quote::ToTokens = match &**other {
                Expr::Block(b) => match walk::tail(&b.block) {
                    Some(tail) => tail,
                    None => other,
                },
                e => e,
            };
            return self
                .error(at, format!("both branches of this `if` must be alike, they are {}", diff.pair()));
        }
        if then == Kind::Unknown { otherwise.at_run_time() } else { then.at_run_time() }
    }

    /// An `if` that is decided when the kernel is built: one side is as if it were not there.
    fn choice(&mut self, i: &ExprIf) -> Kind {
        let doubted = self.doubted.clone();
        self.doubted.extend(walk::compared_names(&i.cond));
        let before = self.env.clone();
        let then = self.block(&i.then_branch, Region::Plain);
        let after = std::mem::replace(&mut self.env, before);
        let otherwise = match &i.else_branch {
            Some((_, other)) => self.otherwise(other, Region::Plain),
            None => Kind::Unit,
        };
        self.env.join(&after);
        self.doubted = doubted;
        if then == otherwise { then } else { Kind::Unknown }
    }

    fn otherwise(&mut self, e: &Expr, region: Region) -> Kind {
        match e {
            Expr::Block(b) => self.block(&b.block, region),
            e => {
                self.env.push(region);
                let kind = self.expr(e);
                self.env.pop();
                kind
            }
        }
    }

    /// `for x in .. { .. }`.
    pub fn for_(&mut self, f: &ExprForLoop) -> Kind {
        if let Some(label) = &f.label {
            self.error(label, "loops have no labels: nothing leaves a loop early");
        }
        let head = self.head(&f.expr);
        let name = match &*f.pat {
            Pat::Ident(p) => Some(p.ident.to_string()),
            Pat::Wild(_) => None,
            other => {
                self.error(other, "a loop counts with one name");
                None
            }
        };
        let (counter, region) = match head {
            Head::Counted => (Kind::Scalar(Elem::I32), Region::Loop),
            Head::Unrolled => (Kind::Int(None), Region::Plain),
            Head::Unclear => (Kind::Unknown, Region::Loop),
        };
        let before = self.env.clone();
        match head {
            Head::Unrolled => self.forget_sizes(&f.body),
            Head::Counted | Head::Unclear => self.settle(&[&f.body]),
        }
        self.env.push(Region::Plain);
        if let Some(name) = &name {
            self.env.declare(name, counter);
        }
        self.block(&f.body, region);
        self.env.pop();
        if matches!(head, Head::Unrolled) {
            self.env.join(&before);
        }
        Kind::Unit
    }

    /// Integers assigned in an unrolled body stay constants, of other values each time.
    fn forget_sizes(&mut self, body: &Block) {
        for name in walk::assigned(&[body]).into_keys() {
            if matches!(self.env.get(&name), Some(Kind::Int(_))) {
                self.env.set(&name, Kind::Int(None));
            }
        }
    }

    fn head(&mut self, e: &Expr) -> Head {
        match e {
            Expr::Paren(p) => self.head(&p.expr),
            Expr::Range(r) => {
                self.range(r, false);
                Head::Counted
            }
            Expr::Call(c) if matches!(&*c.func, Expr::Path(p) if p.path.is_ident("unroll")) => {
                match (c.args.len(), c.args.first()) {
                    (1, Some(Expr::Range(r))) => self.range(r, true),
                    _ => {
                        self.error(c, "`unroll` takes a range of constants, as in `unroll(0..4)`");
                    }
                }
                Head::Unrolled
            }
            Expr::MethodCall(m) => self.head_method(m),
            e => {
                let kind = self.expr(e);
                let hint = match &kind {
                    Kind::Unknown => return Head::Unclear,
                    Kind::Blocks(..) => "count its blocks: `for j in 0..list.len()`",
                    _ => "a loop runs over `lo..hi`, `unroll(lo..hi)` or `view.gather(n)`",
                };
                self.error(e, format!("this is {}; {hint}", kind.describe()));
                Head::Unclear
            }
        }
    }

    fn head_method(&mut self, m: &syn::ExprMethodCall) -> Head {
        let span = m.method.span();
        match m.method.to_string().as_str() {
            "step_by" => {
                let head = self.head(&m.receiver);
                if self.arguments(span, "step_by", m.args.len(), 1, "(lo..hi).step_by(N)") {
                    let step = &m.args[0];
                    match self.expr(step) {
                        Kind::Unknown => {}
                        Kind::Int(d) => {
                            if let Some(n) = d.as_ref().and_then(Poly::as_int).filter(|n| *n <= 0) {
                                self.error(step, format!("a loop counts up by at least 1, this is {n}"));
                            }
                        }
                        k => {
                            self.error(
                                step,
                                format!("a loop counts by an integer constant, this is {}", k.describe()),
                            );
                        }
                    }
                }
                head
            }
            "rev" => {
                self.arguments(span, "rev", m.args.len(), 0, "(lo..hi).rev()");
                self.head(&m.receiver)
            }
            "gather" => {
                self.gather(m);
                Head::Counted
            }
            _ => {
                let kind = self.expr(&Expr::MethodCall(m.clone()));
                if !matches!(kind, Kind::Unknown) {
                    let hint = "a loop runs over `lo..hi`, `unroll(lo..hi)` or `view.gather(n)`";
                    self.error(m, format!("this is {}; {hint}", kind.describe()));
                }
                Head::Unclear
            }
        }
    }

    /// `view.gather(n)`: the entries of a list in memory.
    fn gather(&mut self, m: &syn::ExprMethodCall) {
        let list = self.expr(&m.receiver);
        let args: Vec<Kind> = m.args.iter().map(|a| self.expr(a)).collect();
        let span = m.method.span();
        if !self.arguments(span, "gather", args.len(), 1, "view.gather(n)") {
            return;
        }
        self.offset(&args[0], &m.args[0]);
        match &list {
            Kind::View(v) if v.axes.len() != 1 => {
                let (t, s) = (&v.tensor, v.shape());
                let hint = "fix the others with `.at(..)`";
                self.error_at(span, format!("`gather` runs along one free axis, `{t}` has {s}: {hint}"));
            }
            Kind::View(v) if !v.elem.may_be(&[Elem::I32]) => {
                let (t, e) = (&v.tensor, &v.elem);
                self.error_at(
                    m.method.span(),
                    format!("`gather` reads indices of type i32, `{t}` holds {e}"),
                );
            }
            Kind::View(_) | Kind::Unknown => {}
            k => {
                self.error_at(
                    m.method.span(),
                    format!("`gather` runs over a view of a tensor, this is {}", k.describe()),
                );
            }
        }
    }

    /// The bounds of a loop: i32 scalars, or constants.
    fn range(&mut self, r: &ExprRange, constant: bool) {
        if let RangeLimits::Closed(op) = &r.limits {
            self.error(op, "loops run over `lo..hi`, which leaves out `hi`: write `lo..hi + 1`");
        }
        for end in [&r.start, &r.end] {
            let Some(end) = end else {
                self.error(r, "a loop needs both ends, as in `0..n`");
                continue;
            };
            let kind = self.expr(end);
            let Some(kind) = self.loaded(&kind, end).cloned() else { continue };
            match &kind {
                Kind::Unknown | Kind::Int(_) => {}
                Kind::Scalar(e) if e.may_be(&[Elem::I32]) => {
                    if constant {
                        let hint = "leave `unroll` out to count when the kernel runs";
                        self.error(end, format!("an unrolled loop runs between constants, this is known only when the kernel runs: {hint}"));
                    }
                }
                k => {
                    self.error(end, format!("a loop counts with i32, this is {}", k.describe()));
                }
            }
        }
    }
}

/// The blocks of an `if` and of those in its `else`.
fn branches(i: &ExprIf) -> Vec<&Block> {
    let mut out = vec![&i.then_branch];
    match i.else_branch.as_ref().map(|(_, e)| &**e) {
        Some(Expr::Block(b)) => out.push(&b.block),
        Some(Expr::If(i)) => out.extend(branches(i)),
        _ => {}
    }
    out
}

//! The text form of a kernel, for people, file tests and snapshots; [`parse`](super::parse()) reads it back.
//!
//! ```text
//! kernel scale {
//!   dims L
//!   grid m in L.div_ceil(64)
//!   even L by 64 = false
//!   param %0 = x : tensor<f32, [L]>
//!   param %1 = y : mut tensor<f32, [L]>
//!   %2 = program_id {axis=0} : i32
//!   %3 = const {value=64} : i32
//!   %4 = mul %2, %3 : i32
//!   %5 = load %0[%4] {box=[64], check=[1]} : tile<64xf32>
//!   %6 = for %7 in %2..%3 carry(%8 = %5) {step=1} : tile<64xf32> {
//!     %9 = add %8, %8 : tile<64xf32>
//!     yield %9
//!   }
//!   store %1[%4], %6 {box=[64], check=[1]}
//! }
//! ```
//!
//! One op a line: results, name, operands, attributes, result types. Offsets of memory ops stand in brackets behind their tensor.
//! Values are named in order of appearance, so that dead entries of the kernel's tables do not show, and equal programs print equally.
//! Printing never fails, not even on kernels that do not verify.

use super::{Attr, BlockId, Class, Kernel, Op, OpCode, ParamKind, Scalar, Value};
use std::collections::HashMap;
use std::fmt::{self, Write};

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self, false))
    }
}

impl Kernel {
    /// The text form with the place in the Rust source behind every op: `@"file":line:col`.
    pub fn to_text_with_locs(&self) -> String {
        text(self, true)
    }
}

fn text(kernel: &Kernel, locs: bool) -> String {
    let mut p = Printer { kernel, locs, names: HashMap::new(), out: String::new(), open: Vec::new() };
    p.kernel();
    p.out
}

struct Printer<'a> {
    kernel: &'a Kernel,
    locs: bool,
    names: HashMap<Value, usize>,
    out: String,
    /// Blocks being printed, so that a malformed kernel whose regions contain themselves still prints.
    open: Vec<BlockId>,
}

impl Printer<'_> {
    fn kernel(&mut self) {
        let k = self.kernel;
        self.push(format_args!("kernel {} {{\n", k.name));
        if !k.dims.is_empty() {
            self.push(format_args!("  dims {}\n", k.dims.join(", ")));
        }
        if !k.grid.is_empty() {
            let axes: Vec<String> = k.grid.iter().map(|a| format!("{} in {}", a.name, a.extent)).collect();
            self.push(format_args!("  grid {}\n", axes.join(", ")));
        }
        for ((dim, block), holds) in &k.even {
            self.push(format_args!("  even {dim} by {block} = {holds}\n"));
        }
        let args = k.blocks.get(k.body.index()).map_or(&[][..], |b| &b.args);
        for (param, &v) in k.params.iter().zip(args) {
            let name = self.name(v);
            self.push(format_args!("  param {name} = {} : ", param.name));
            match &param.kind {
                ParamKind::Tensor(t) => self.push(format_args!("{}", super::Type::Tensor(t.clone()))),
                ParamKind::Scalar(e) => self.push(format_args!("{e}")),
            }
            self.out.push_str(if param.memory.packed { "" } else { " unpacked" });
            self.out.push_str(if param.memory.aligned { "" } else { " unaligned" });
            self.out.push_str(if param.memory.positive { "\n" } else { " signed\n" });
        }
        self.block(k.body, 1);
        self.out.push_str("}\n");
    }

    fn block(&mut self, id: BlockId, depth: usize) {
        let k = self.kernel;
        let Some(block) = k.blocks.get(id.index()).filter(|_| !self.open.contains(&id)) else { return };
        self.open.push(id);
        for &op in &block.ops {
            if let Some(data) = k.ops.get(op.index()) {
                self.op(data, depth);
            }
        }
        self.open.pop();
    }

    fn op(&mut self, op: &Op, depth: usize) {
        self.indent(depth);
        let results = self.list(&op.results);
        if !results.is_empty() {
            self.push(format_args!("{results} = "));
        }
        self.out.push_str(op.code.name());
        match op.code {
            OpCode::For if op.operands.len() >= 2 && op.regions.len() == 1 => self.for_head(op),
            _ => self.operands(op),
        }
        self.attrs(op);
        for (i, r) in op.results.iter().enumerate() {
            self.out.push_str(if i == 0 { " : " } else { ", " });
            match self.kernel.types.get(r.index()) {
                Some(t) => self.push(format_args!("{t}")),
                None => self.out.push('?'),
            }
        }
        for (i, &r) in op.regions.iter().enumerate() {
            self.out.push_str(if i == 0 { " {\n" } else { " else {\n" });
            self.block(r, depth + 1);
            self.indent(depth);
            self.out.push('}');
        }
        if self.locs && op.loc.line > 0 {
            self.push(format_args!(" @{}:{}:{}", quote(op.loc.file), op.loc.line, op.loc.col));
        }
        self.out.push('\n');
    }

    /// ` %counter in %lo..%hi carry(%arg = %init, ...)`
    fn for_head(&mut self, op: &Op) {
        let args: Vec<Value> =
            self.kernel.blocks.get(op.regions[0].index()).map_or(Vec::new(), |b| b.args.clone());
        let counter = args.first().map_or("?".to_string(), |&v| self.name(v));
        let (lo, hi) = (self.name(op.operands[0]), self.name(op.operands[1]));
        self.push(format_args!(" {counter} in {lo}..{hi}"));
        if op.operands.len() > 2 {
            self.out.push_str(" carry(");
            for (i, &init) in op.operands[2..].iter().enumerate() {
                let arg = args.get(i + 1).map_or("?".to_string(), |&v| self.name(v));
                let init = self.name(init);
                self.push(format_args!("{}{arg} = {init}", if i > 0 { ", " } else { "" }));
            }
            self.out.push(')');
        }
    }

    fn operands(&mut self, op: &Op) {
        let memory = matches!(op.code.class(), Class::Load | Class::Store | Class::Fill | Class::Send);
        let direct = if memory { op.operands.len() - op.offsets().len() } else { op.operands.len() };
        let (direct, offsets) = op.operands.split_at(direct);
        for (i, &v) in direct.iter().enumerate() {
            let name = self.name(v);
            self.push(format_args!("{} {name}", if i > 0 { "," } else { "" }));
            if memory && i == 0 {
                let offsets = self.list(offsets);
                self.push(format_args!("[{offsets}]"));
            }
        }
    }

    fn attrs(&mut self, op: &Op) {
        for (i, (key, attr)) in op.attrs.iter().enumerate() {
            self.push(format_args!("{}{key}=", if i == 0 { " {" } else { ", " }));
            match attr {
                Attr::Int(v) => self.push(format_args!("{v}")),
                Attr::Ints(vs) => self.push(format_args!("{vs:?}")),
                Attr::Scalar(Scalar::Float(v)) => self.push(format_args!("{v:?}")),
                Attr::Scalar(Scalar::Int(v)) => self.push(format_args!("{v}")),
                Attr::Scalar(Scalar::Bool(v)) => self.push(format_args!("{v}")),
                Attr::Pred(p) => self.out.push_str(p.name()),
                Attr::Str(s) => self.out.push_str(&quote(s)),
            }
        }
        if !op.attrs.is_empty() {
            self.out.push('}');
        }
    }

    fn list(&mut self, vs: &[Value]) -> String {
        let names: Vec<String> = vs.iter().map(|&v| self.name(v)).collect();
        names.join(", ")
    }

    fn name(&mut self, v: Value) -> String {
        let next = self.names.len();
        format!("%{}", self.names.entry(v).or_insert(next))
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.out.push_str("  ");
        }
    }

    fn push(&mut self, args: fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.out.write_fmt(args);
    }
}

/// A text in double quotes, with `\`, `"`, line feeds, carriage returns and tabs escaped.
fn quote(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

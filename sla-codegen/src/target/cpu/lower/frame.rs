//! The function around a kernel: its arguments, the loop over programs, the views of memory.

use super::code::Code;
use super::{ENTRY, Lower, Tensor};
use sla_dsl::ir::{AbiArg, DimExpr, Elem, ParamKind};
use std::fmt::Write;

impl Lower<'_> {
    /// The whole module.
    pub(super) fn function(&mut self) -> String {
        self.arguments();
        let extents: Vec<String> = self
            .k
            .grid
            .iter()
            .map(|g| g.extent.clone())
            .collect::<Vec<_>>()
            .iter()
            .map(|e| self.size(e))
            .collect();
        let (head, body, next) = (self.code.label(), self.code.label(), self.code.label());
        self.exit = self.code.label();
        let exit = self.exit.clone();
        let [first, last] =
            ["%first", "%last"].map(|v| self.code.op(&format!("arith.index_cast {v} : i64 to index")));
        self.code.line(&format!("cf.br {head}({first} : index)"));
        self.code.bare(&format!("{head}(%program: index):"));
        let more = self.code.op(&format!("arith.cmpi ult, %program, {last} : index"));
        self.code.line(&format!("cf.cond_br {more}, {body}, {exit}"));
        self.code.bare(&format!("{body}:"));
        let mut rest = "%program".to_string();
        let last_axis = extents.len().saturating_sub(1);
        for (axis, extent) in extents.iter().enumerate() {
            let at = if axis == last_axis {
                rest.clone()
            } else {
                self.code.op(&format!("arith.remui {rest}, {extent} : index"))
            };
            if axis != last_axis {
                rest = self.code.op(&format!("arith.divui {rest}, {extent} : index"));
            }
            let at = self.code.op(&format!("arith.index_cast {at} : index to i32"));
            self.place.push(at);
        }
        self.block(self.k.body);
        self.code.at("", 0, 0);
        self.code.line(&format!("cf.br {next}"));
        self.code.bare(&format!("{next}:"));
        let one = self.code.index(1);
        let up = self.code.op(&format!("arith.addi %program, {one} : index"));
        self.code.line(&format!("cf.br {head}({up} : index)"));
        self.code.bare(&format!("{exit}:"));
        self.code.line("func.return");

        let (constants, body, places) = std::mem::take::<Code>(&mut self.code).finish();
        let bytes = self.scratch.max(1);
        let mut out = String::from("module {\n");
        out.push_str("  llvm.mlir.global external @sla_sites() : i8\n");
        out.push_str("  llvm.func @sla_assert(!llvm.ptr, i32, !llvm.ptr, i64) -> i32\n");
        out.push_str("  llvm.func @sla_fail(!llvm.ptr, i32)\n");
        out.push_str(
            "  llvm.func @sla_outside(!llvm.ptr, i32, i64, i64, i64, i64) attributes {passthrough = [\"cold\"]}\n",
        );
        out.push_str("  llvm.func @sla_print(!llvm.ptr, i32, i32, !llvm.ptr, i32, i32, i32)\n");
        let _ = writeln!(
            out,
            "func.func @{ENTRY}(%args: !llvm.ptr {{llvm.noalias, llvm.readonly}}, %first: i64, %last: i64, \
             %arena: !llvm.ptr {{llvm.noalias, llvm.align = 64 : i64}}) {{"
        );
        out.push_str(&constants);
        let _ = writeln!(out, "  %scratch_bytes = arith.constant {bytes} : i64");
        memref(&mut out, "scratch", "%arena", "memref<?xi8>", "%scratch_bytes");
        for (name, line) in &self.views {
            let _ = writeln!(out, "  {name} = {line}");
        }
        out.push_str(&body);
        out.push_str("}\n}\n");
        out.push_str(&places);
        out
    }

    /// Reads every argument from its slot.
    fn arguments(&mut self) {
        let k = self.k;
        let params = k.block(k.body).args.clone();
        let abi = k.abi();
        let mut dims = Vec::new();
        let mut strides = vec![Vec::new(); k.params.len()];
        let mut pointers = Vec::new();
        for (slot, arg) in abi.iter().enumerate() {
            let at =
                self.code.op(&format!("llvm.getelementptr %args[{slot}] : (!llvm.ptr) -> !llvm.ptr, i64"));
            match *arg {
                AbiArg::Pointer { param } => {
                    let p = self.code.op(&format!("llvm.load {at} : !llvm.ptr -> !llvm.ptr"));
                    pointers.push((param, p));
                }
                AbiArg::Scalar { param, elem } => {
                    let v = self.scalar_argument(&at, elem);
                    self.scalars.insert(params[param], v);
                }
                AbiArg::Dim { .. } => dims.push(self.code.op(&format!("llvm.load {at} : !llvm.ptr -> i32"))),
                AbiArg::Stride { param, .. } => {
                    let v = self.code.op(&format!("llvm.load {at} : !llvm.ptr -> i64"));
                    strides[param].push(self.code.op(&format!("arith.index_cast {v} : i64 to index")));
                }
            }
        }
        self.dims = dims;
        for (param, pointer) in pointers {
            let ParamKind::Tensor(t) = &k.params[param].kind else { continue };
            let sizes: Vec<String> = t.dims.iter().map(|d| self.size(d)).collect();
            let cell = match t.elem {
                Elem::F32 => "f32",
                Elem::F16 if self.host.f16c => "f16",
                Elem::F16 | Elem::BF16 => "i16",
                Elem::I32 => "i32",
                Elem::I8 | Elem::Bool => "i8",
            };
            let ty = format!("memref<?x{cell}>");
            let name = format!("t{param}");
            let mut text = String::new();
            let most = self.code.constant(&format!("{} : i64", i64::MAX));
            memref(&mut text, &name, &pointer, &ty, &most);
            text.trim_end().lines().for_each(|l| self.code.bare(l));
            let packed = k.params[param].memory.packed && !t.dims.is_empty();
            let tensor = Tensor {
                memref: format!("%{name}"),
                ty,
                elem: t.elem,
                packed,
                sizes,
                strides: std::mem::take(&mut strides[param]),
            };
            self.tensors.insert(params[param], tensor);
        }
    }

    fn scalar_argument(&mut self, at: &str, elem: Elem) -> String {
        let load = |c: &mut Code, ty: &str| c.op(&format!("llvm.load {at} : !llvm.ptr -> {ty}"));
        match elem {
            Elem::F32 => load(&mut self.code, "f32"),
            Elem::I32 | Elem::I8 => load(&mut self.code, "i32"),
            Elem::Bool => {
                let v = load(&mut self.code, "i8");
                let zero = self.code.constant("0 : i8");
                self.code.op(&format!("arith.cmpi ne, {v}, {zero} : i8"))
            }
            Elem::F16 | Elem::BF16 => {
                let bits = load(&mut self.code, "i16");
                self.widen_bits(elem, &bits, 1)
            }
        }
    }

    /// A size expression as an index. Sizes are not negative, so unsigned division is Euclid's.
    pub(super) fn size(&mut self, e: &DimExpr) -> String {
        use DimExpr::*;
        let mut two = |op: &str, a: &DimExpr, b: &DimExpr| {
            let (a, b) = (self.size(a), self.size(b));
            self.code.op(&format!("{op} {a}, {b} : index"))
        };
        match e {
            Const(c) => self.code.constant(&format!("{c} : index")),
            Name(n) => {
                let dim = self.k.dims.iter().position(|d| d == n).unwrap_or(0);
                let v = self.dims[dim].clone();
                self.code.op(&format!("arith.index_cast {v} : i32 to index"))
            }
            Add(a, b) => two("arith.addi", a, b),
            Sub(a, b) => two("arith.subi", a, b),
            Mul(a, b) => two("arith.muli", a, b),
            Min(a, b) => two("arith.minsi", a, b),
            Max(a, b) => two("arith.maxsi", a, b),
            Div(a, b) => self.size_quotient("arith.divui", a, b),
            Rem(a, b) => self.size_quotient("arith.remui", a, b),
            DivCeil(a, b) => self.size_quotient("arith.ceildivui", a, b),
        }
    }

    /// Division of sizes: the launch has evaluated the same expression and refused a divisor of zero, but code that is compiled
    /// must not trap, so one stands in for it.
    fn size_quotient(&mut self, op: &str, a: &DimExpr, b: &DimExpr) -> String {
        let (a, b) = (self.size(a), self.size(b));
        let one = self.code.index(1);
        let b = self.code.op(&format!("arith.maxsi {b}, {one} : index"));
        self.code.op(&format!("{op} {a}, {b} : index"))
    }
}

/// A flat memref around a pointer: the descriptor that MLIR's lowering of memrefs uses, made by hand.
fn memref(out: &mut String, name: &str, pointer: &str, ty: &str, elements: &str) {
    const DESCRIPTOR: &str = "!llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>";
    let parts = [
        format!("llvm.mlir.poison : {DESCRIPTOR}"),
        format!("llvm.insertvalue {pointer}, %{name}_0[0] : {DESCRIPTOR}"),
        format!("llvm.insertvalue {pointer}, %{name}_1[1] : {DESCRIPTOR}"),
        format!("llvm.insertvalue %{name}_zero, %{name}_2[2] : {DESCRIPTOR}"),
        format!("llvm.insertvalue {elements}, %{name}_3[3, 0] : {DESCRIPTOR}"),
        format!("llvm.insertvalue %{name}_one, %{name}_4[4, 0] : {DESCRIPTOR}"),
    ];
    let _ = writeln!(out, "  %{name}_zero = arith.constant 0 : i64\n  %{name}_one = arith.constant 1 : i64");
    for (i, part) in parts.iter().enumerate() {
        let _ = writeln!(out, "  %{name}_{i} = {part}");
    }
    let _ = writeln!(out, "  %{name} = builtin.unrealized_conversion_cast %{name}_5 : {DESCRIPTOR} to {ty}");
}

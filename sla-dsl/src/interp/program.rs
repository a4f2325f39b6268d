//! One program of the grid: walks the blocks, keeps the values, applies effects.
//!
//! Only verified kernels come here.

use super::memory::{HostTensor, Window};
use super::{Data, EvalError, Fault, InterpError, eval};
use crate::ir::{BlockId, Class, Kernel, Op, OpCode, Type, Value};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

/// What all programs of a launch share.
pub struct Launch<'a> {
    pub kernel: &'a Kernel,
    /// Tensor parameters by their value.
    pub tensors: HashMap<Value, HostTensor>,
    /// Scalar parameters by their value.
    pub scalars: Vec<(Value, Data)>,
    /// Runtime dims in order of declaration.
    pub dims: Vec<i32>,
}

/// Runs the program at a place of the grid. Without a sink, nothing is printed.
pub fn run(launch: &Launch<'_>, place: [usize; 3], sink: Option<&mut dyn Write>) -> Result<(), InterpError> {
    let mut values = vec![None; launch.kernel.types.len()];
    for (v, data) in &launch.scalars {
        values[v.index()] = Some(Arc::new(data.clone()));
    }
    let mut program = Program { launch, place, sink, values };
    program.block(launch.kernel.body).map(|_| ())
}

struct Program<'a, 's> {
    launch: &'a Launch<'a>,
    place: [usize; 3],
    sink: Option<&'s mut dyn Write>,
    values: Vec<Option<Arc<Data>>>,
}

impl<'a> Program<'a, '_> {
    /// Runs a block and returns what it yields.
    fn block(&mut self, id: BlockId) -> Result<Vec<Arc<Data>>, InterpError> {
        let kernel = self.launch.kernel;
        for &id in &kernel.block(id).ops {
            let op = kernel.op(id);
            if op.code.class() == Class::Yield {
                return op.operands.iter().map(|&v| self.get(v).map_err(|f| self.fault(op, f))).collect();
            }
            self.op(op)?;
        }
        Ok(Vec::new())
    }

    fn op(&mut self, op: &'a Op) -> Result<(), InterpError> {
        match op.code.class() {
            Class::For => self.for_(op),
            Class::If => self.if_(op),
            Class::Debug if op.code == OpCode::Print => self.print(op),
            _ => self.plain(op).map_err(|f| self.fault(op, f)),
        }
    }

    /// An op without regions.
    fn plain(&mut self, op: &'a Op) -> Result<(), Fault> {
        let kernel = self.launch.kernel;
        let value = match op.code {
            OpCode::Dim => {
                let dim = kernel.dims.iter().position(|d| d == op.str("name")).ok_or(EvalError::Malformed)?;
                Data::Int(vec![self.launch.dims[dim]])
            }
            OpCode::ProgramId => {
                let axis = op.int("axis").ok_or(EvalError::Malformed)?;
                Data::Int(vec![self.place[axis as usize] as i32])
            }
            OpCode::Load => {
                let offsets = self.offsets(op)?;
                self.tensor(op)?.load(window(op, &offsets))?
            }
            OpCode::Store | OpCode::AtomicAdd => {
                let (offsets, data) = (self.offsets(op)?, self.get(op.operands[1])?);
                let tensor = self.tensor(op)?;
                let write = if op.code == OpCode::Store { HostTensor::store } else { HostTensor::add };
                return write(tensor, window(op, &offsets), &data);
            }
            OpCode::Assert => {
                let holds = self.get(op.operands[0])?.bools()?.iter().all(|&b| b);
                return if holds { Ok(()) } else { Err(Fault::Assert(op.str("msg").to_string())) };
            }
            _ => {
                let args: Vec<Arc<Data>> =
                    op.operands.iter().map(|&v| self.get(v)).collect::<Result<_, _>>()?;
                let args: Vec<&Data> = args.iter().map(Arc::as_ref).collect();
                let types: Vec<&Type> = op.operands.iter().map(|&v| kernel.ty(v)).collect();
                eval(op, &types, kernel.ty(op.results[0]), &args)?
            }
        };
        self.set(op.results[0], Arc::new(value));
        Ok(())
    }

    fn for_(&mut self, op: &'a Op) -> Result<(), InterpError> {
        let kernel = self.launch.kernel;
        let get = |s: &Self, v| s.get(v).map_err(|f| s.fault(op, f));
        let int = |s: &Self, v| s.int(v).map_err(|f| s.fault(op, f));
        let (mut at, end) = (int(self, op.operands[0])?, int(self, op.operands[1])?);
        let step = op.int("step").unwrap_or(1);
        let args = &kernel.block(op.regions[0]).args;
        let mut carried: Vec<Arc<Data>> =
            op.operands[2..].iter().map(|&v| get(self, v)).collect::<Result<_, _>>()?;
        while at < end {
            self.set(args[0], Arc::new(Data::Int(vec![at as i32])));
            for (&arg, data) in args[1..].iter().zip(carried) {
                self.set(arg, data);
            }
            carried = self.block(op.regions[0])?;
            at += step;
        }
        for (&result, data) in op.results.iter().zip(carried) {
            self.set(result, data);
        }
        Ok(())
    }

    fn if_(&mut self, op: &'a Op) -> Result<(), InterpError> {
        let cond = self.get(op.operands[0]).map_err(|f| self.fault(op, f))?;
        let holds = matches!(&*cond, Data::Bool(v) if v[0]);
        let out = self.block(op.regions[if holds { 0 } else { 1 }])?;
        for (&result, data) in op.results.iter().zip(out) {
            self.set(result, data);
        }
        Ok(())
    }

    fn print(&mut self, op: &'a Op) -> Result<(), InterpError> {
        let kernel = self.launch.kernel;
        let mut text = format!("{} {:?}: {}", kernel.name, self.place, op.str("msg"));
        for &v in &op.operands {
            let data = self.get(v).map_err(|f| self.fault(op, f))?;
            text.push(' ');
            text.push_str(&data.show(kernel.ty(v).shape().unwrap_or(&[])));
        }
        match &mut self.sink {
            Some(sink) => writeln!(sink, "{text}").map_err(|e| InterpError::Print(e.to_string())),
            None => Ok(()),
        }
    }

    fn tensor(&self, op: &Op) -> Result<&'a HostTensor, Fault> {
        self.launch.tensors.get(&op.operands[0]).ok_or(Fault::Eval(EvalError::Malformed))
    }

    fn offsets(&self, op: &Op) -> Result<Vec<i64>, Fault> {
        op.offsets().iter().map(|&v| self.int(v)).collect()
    }

    /// An i32 scalar.
    fn int(&self, v: Value) -> Result<i64, Fault> {
        Ok(self.get(v)?.ints()?.first().copied().ok_or(EvalError::Malformed)? as i64)
    }

    fn get(&self, v: Value) -> Result<Arc<Data>, Fault> {
        self.values[v.index()].clone().ok_or(Fault::Eval(EvalError::Malformed))
    }

    fn set(&mut self, v: Value, data: Arc<Data>) {
        self.values[v.index()] = Some(data);
    }

    fn fault(&self, op: &Op, fault: Fault) -> InterpError {
        let kernel = self.launch.kernel.name.clone();
        InterpError::Fault { kernel, loc: op.loc, program: self.place, fault: Box::new(fault) }
    }
}

fn window<'o>(op: &'o Op, offsets: &'o [i64]) -> Window<'o> {
    Window { offsets, extent: op.ints("box"), check: op.ints("check") }
}

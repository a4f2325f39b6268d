//! Ops, their attributes and regions.

use super::lex::Place;
use super::{Parse, ParseErrorKind, Parser, Token};
use crate::diag::Loc;
use crate::ir::verify::MAX_DEPTH;
use crate::ir::{ATTRS, Attr, BlockId, Class, Elem, Op, OpCode, Pred, Scalar, Type, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What stands between `for` and its attributes.
struct ForHead {
    counter: (String, Place),
    args: Vec<(String, Place)>,
    operands: Vec<Value>,
}

impl Parser {
    /// Ops up to the brace that closes their block, which is read too.
    pub(super) fn ops(&mut self, block: BlockId) -> Parse<()> {
        while !self.eat('}') {
            self.op(block)?;
        }
        Ok(())
    }

    fn op(&mut self, block: BlockId) -> Parse<()> {
        let mut results = Vec::new();
        if matches!(self.peek(), Token::Value(_)) {
            loop {
                results.push(self.new_name()?);
                if self.eat('=') {
                    break;
                }
                self.expect(',')?;
            }
        }
        let place = self.place();
        let name = self.word("an op or `}`")?;
        let unknown = || ParseErrorKind::Unknown { what: "op", name: name.clone() };
        let code = OpCode::from_name(&name).ok_or_else(|| place.error(unknown()))?;
        let (head, operands) = if code == OpCode::For {
            let mut head = self.for_head()?;
            let operands = std::mem::take(&mut head.operands);
            (Some(head), operands)
        } else if code.class() == Class::Order {
            // Nothing ends a line, and the next one may start with a value.
            (None, Vec::new())
        } else {
            (None, self.operands()?)
        };
        let attrs = self.attrs()?;
        let types = self.types(results.len())?;
        let regions = match code {
            OpCode::For | OpCode::If => self.regions(head, &types)?,
            OpCode::Role => {
                let block = self.kernel.new_block();
                self.region(block)?;
                vec![block]
            }
            _ => Vec::new(),
        };
        let loc = if self.eat('@') { self.loc()? } else { Loc::UNKNOWN };
        let results = results.into_iter().zip(types).map(|(name, ty)| self.define(name, ty));
        let results = results.collect::<Parse<Vec<Value>>>()?;
        let id = self.kernel.new_op(Op { code, operands, results, attrs, regions, loc });
        self.places.push(place);
        self.kernel.block_mut(block).ops.push(id);
        Ok(())
    }

    /// `%counter in %lo..%hi`, then perhaps `carry(%arg = %init, ...)`.
    fn for_head(&mut self) -> Parse<ForHead> {
        let counter = self.new_name()?;
        self.expect_word("in")?;
        let lo = self.value()?;
        self.expect('.')?;
        self.expect('.')?;
        let mut operands = vec![lo, self.value()?];
        let mut args = Vec::new();
        if self.eat_word("carry") {
            self.expect('(')?;
            let pairs = self.list(')', |p| {
                let arg = p.new_name()?;
                p.expect('=')?;
                Ok((arg, p.value()?))
            })?;
            for (arg, init) in pairs {
                args.push(arg);
                operands.push(init);
            }
        }
        Ok(ForHead { counter, args, operands })
    }

    /// Values between commas; the offsets in brackets behind the first come last in the op.
    fn operands(&mut self) -> Parse<Vec<Value>> {
        let mut operands = Vec::new();
        let mut offsets = Vec::new();
        while matches!(self.peek(), Token::Value(_)) {
            operands.push(self.value()?);
            if operands.len() == 1 && self.eat('[') {
                offsets = self.list(']', Parser::value)?;
            }
            if !self.eat(',') {
                break;
            }
        }
        operands.append(&mut offsets);
        Ok(operands)
    }

    /// `{key=value, ...}`; a brace that is not followed by `key=` opens a region.
    fn attrs(&mut self) -> Parse<BTreeMap<&'static str, Attr>> {
        let mut attrs = BTreeMap::new();
        let opens = self.is('{')
            && matches!(self.peek_at(1), Token::Word(_))
            && matches!(self.peek_at(2), Token::Mark('='));
        if !opens {
            return Ok(attrs);
        }
        self.expect('{')?;
        let pairs = self.list('}', |p| {
            let place = p.place();
            let name = p.word("an attribute")?;
            let unknown = || ParseErrorKind::Unknown { what: "attribute", name: name.clone() };
            let (key, _) = ATTRS.iter().find(|(k, _)| *k == name).ok_or_else(|| place.error(unknown()))?;
            p.expect('=')?;
            let attr = if *key == "value" { Attr::Scalar(p.scalar()?) } else { p.attr()? };
            Ok((*key, attr, place))
        })?;
        for (key, attr, place) in pairs {
            if attrs.insert(key, attr).is_some() {
                return Err(place.error(ParseErrorKind::Redefined(format!("the attribute `{key}`"))));
            }
        }
        Ok(attrs)
    }

    fn attr(&mut self) -> Parse<Attr> {
        let place = self.place();
        match self.peek() {
            Token::Text(t) => {
                let text = t.clone();
                self.at += 1;
                Ok(Attr::Str(text))
            }
            Token::Mark('[') => {
                self.at += 1;
                self.list(']', Parser::int).map(Attr::Ints)
            }
            Token::Word(w) => {
                let unknown = ParseErrorKind::Unknown { what: "comparison", name: w.clone() };
                let pred = Pred::from_name(w).ok_or_else(|| place.error(unknown))?;
                self.at += 1;
                Ok(Attr::Pred(pred))
            }
            _ => self.int().map(Attr::Int),
        }
    }

    /// The constant of `const`: a float has a point, an exponent or a name.
    fn scalar(&mut self) -> Parse<Scalar> {
        let negative = self.is('-');
        match self.peek_at(negative as usize) {
            Token::Number(n) if n.contains(['.', 'e']) => {
                let (n, place) = (n.clone(), self.place());
                let v: f64 = n.parse().map_err(|_| place.error(ParseErrorKind::Number(n)))?;
                self.at += 1 + negative as usize;
                Ok(Scalar::Float(if negative { -v } else { v }))
            }
            Token::Word(w) => {
                let value = match w.as_str() {
                    "inf" => Scalar::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }),
                    "NaN" if !negative => Scalar::Float(f64::NAN),
                    "true" if !negative => Scalar::Bool(true),
                    "false" if !negative => Scalar::Bool(false),
                    _ => return self.unexpected("a constant"),
                };
                self.at += 1 + negative as usize;
                Ok(value)
            }
            _ => self.int().map(Scalar::Int),
        }
    }

    /// `: type, ...`, one for each result.
    fn types(&mut self, count: usize) -> Parse<Vec<Type>> {
        let mut types = Vec::new();
        for i in 0..count {
            self.expect(if i == 0 { ':' } else { ',' })?;
            types.push(self.ty()?);
        }
        if count == 0 && self.is(':') {
            return self.unexpected("no type, as there is no result");
        }
        Ok(types)
    }

    fn regions(&mut self, head: Option<ForHead>, types: &[Type]) -> Parse<Vec<BlockId>> {
        let first = self.kernel.new_block();
        let two = head.is_none();
        if let Some(head) = head {
            if head.args.len() != types.len() {
                return self.unexpected(&format!("{} results, one per carried value", head.args.len()));
            }
            let counter = self.define(head.counter, Type::Scalar(Elem::I32))?;
            self.kernel.block_mut(first).args.push(counter);
            for (arg, ty) in head.args.into_iter().zip(types) {
                let v = self.define(arg, ty.clone())?;
                self.kernel.block_mut(first).args.push(v);
            }
        }
        self.region(first)?;
        if !two {
            return Ok(vec![first]);
        }
        self.expect_word("else")?;
        let second = self.kernel.new_block();
        self.region(second)?;
        Ok(vec![first, second])
    }

    fn region(&mut self, block: BlockId) -> Parse<()> {
        self.nested(MAX_DEPTH, |p| {
            p.expect('{')?;
            p.ops(block)
        })
    }

    /// `"file":line:col`
    fn loc(&mut self) -> Parse<Loc> {
        let Token::Text(file) = self.peek() else { return self.unexpected("a file in quotes") };
        let file = intern(file);
        self.at += 1;
        let mut number = || -> Parse<u32> {
            self.expect(':')?;
            let place = self.place();
            let n = self.int()?;
            u32::try_from(n).map_err(|_| place.error(ParseErrorKind::Number(n.to_string())))
        };
        Ok(Loc::new(file, number()?, number()?))
    }
}

/// One copy of each file name, kept for the life of the process: places refer to file names that rustc made static.
fn intern(file: &str) -> &'static str {
    static FILES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = files.get(file) {
        return known;
    }
    let kept: &'static str = Box::leak(file.into());
    files.insert(kept);
    kept
}

//! The kernel's head: dims, grid, facts and parameters; sizes and types.

use super::{MAX_NESTING, Parse, ParseErrorKind, Parser, Token};
use crate::ir::{DimExpr, Elem, GridAxis, MemFacts, Param, ParamKind, TensorType, Type};

impl Parser {
    /// The whole text.
    pub(super) fn kernel(&mut self) -> Parse<()> {
        self.expect_word("kernel")?;
        self.kernel.name = self.word("the kernel's name")?;
        self.expect('{')?;
        if self.eat_word("dims") {
            loop {
                let dim = self.word("a dim")?;
                self.kernel.dims.push(dim);
                if !self.eat(',') {
                    break;
                }
            }
        }
        if self.eat_word("grid") {
            loop {
                let name = self.word("a grid axis")?;
                self.expect_word("in")?;
                let extent = self.size()?;
                self.kernel.grid.push(GridAxis { name, extent });
                if !self.eat(',') {
                    break;
                }
            }
        }
        while self.eat_word("even") {
            let dim = self.size()?;
            self.expect_word("by")?;
            let block = self.int()?;
            self.expect('=')?;
            let holds = self.bool()?;
            self.kernel.even.insert((dim, block), holds);
        }
        while self.eat_word("param") {
            self.param()?;
        }
        let body = self.kernel.body;
        self.ops(body)?;
        match self.peek() {
            Token::End => Ok(()),
            _ => self.unexpected("the end of the text"),
        }
    }

    fn bool(&mut self) -> Parse<bool> {
        if self.eat_word("true") {
            Ok(true)
        } else if self.eat_word("false") {
            Ok(false)
        } else {
            self.unexpected("`true` or `false`")
        }
    }

    fn param(&mut self) -> Parse<()> {
        let value = self.new_name()?;
        self.expect('=')?;
        let name = self.word("the parameter's name")?;
        self.expect(':')?;
        let place = self.place();
        let ty = self.ty()?;
        let kind = match &ty {
            Type::Tensor(t) => ParamKind::Tensor(t.clone()),
            Type::Scalar(e) => ParamKind::Scalar(*e),
            other => {
                let (found, needed) = (other.to_string(), "a tensor or a scalar".to_string());
                return Err(place.error(ParseErrorKind::Unexpected { found, needed }));
            }
        };
        let memory = MemFacts {
            packed: !self.eat_word("unpacked"),
            aligned: !self.eat_word("unaligned"),
            positive: !self.eat_word("signed"),
        };
        self.kernel.params.push(Param { name, kind, memory });
        let v = self.define(value, ty)?;
        let body = self.kernel.body;
        self.kernel.block_mut(body).args.push(v);
        Ok(())
    }

    /// `f32`, `tile<64x32xf32>`, `tensor<f32, [L, 64]>` or `mut tensor<...>`.
    pub(super) fn ty(&mut self) -> Parse<Type> {
        let mutable = self.eat_word("mut");
        if mutable || self.is_word("tensor") {
            self.expect_word("tensor")?;
            self.expect('<')?;
            let elem = self.elem()?;
            self.expect(',')?;
            self.expect('[')?;
            let dims = self.list(']', Parser::size)?;
            self.expect('>')?;
            return Ok(Type::Tensor(TensorType { elem, dims, mutable }));
        }
        if self.eat_word("cursor") {
            return Ok(Type::Cursor);
        }
        let Some(kind) = ["tile", "ring", "view", "pending"].into_iter().find(|w| self.eat_word(w)) else {
            return self.elem().map(Type::Scalar);
        };
        self.expect('<')?;
        let place = self.place();
        let Token::Number(first) = self.peek() else { return self.unexpected("the tile's shape") };
        let first = first.clone();
        self.at += 1;
        // The rest, as in `64x32xf32`, is one word: `x32xf32`.
        let rest = self.word("the tile's element type")?;
        let mut parts: Vec<&str> = rest.split('x').collect();
        let elem = parts.pop().unwrap_or("");
        let unknown = || ParseErrorKind::Unknown { what: "element type", name: elem.to_string() };
        let elem = Elem::from_name(elem).ok_or_else(|| place.error(unknown()))?;
        let mut shape = Vec::new();
        for (i, part) in parts.into_iter().enumerate() {
            let text = if i == 0 { first.as_str() } else { part };
            if i == 0 && !part.is_empty() {
                return Err(place.error(ParseErrorKind::Number(format!("{first}{part}"))));
            }
            shape.push(text.parse().map_err(|_| place.error(ParseErrorKind::Number(text.to_string())))?);
        }
        self.expect('>')?;
        match (kind, &shape[..]) {
            ("tile", _) => Ok(Type::Tile(elem, shape)),
            ("ring", &[s, m, n]) => Ok(Type::Ring(elem, [s, m, n])),
            ("view", &[m, n]) => Ok(Type::View(elem, [m, n])),
            ("pending", &[m, n]) => Ok(Type::Pending(elem, [m, n])),
            _ => Err(place.error(ParseErrorKind::Unexpected {
                found: format!("{} sizes", shape.len()),
                needed: format!("the sizes of a {kind}"),
            })),
        }
    }

    fn elem(&mut self) -> Parse<Elem> {
        let place = self.place();
        let name = self.word("a type")?;
        Elem::from_name(&name).ok_or_else(|| place.error(ParseErrorKind::Unknown { what: "type", name }))
    }

    /// A size over the kernel's dims.
    pub(super) fn size(&mut self) -> Parse<DimExpr> {
        self.deep_size().map(|(e, _)| e)
    }

    /// A size and its depth as a tree.
    fn deep_size(&mut self) -> Parse<(DimExpr, usize)> {
        self.nested(MAX_NESTING, |p| {
            let (mut left, mut depth) = p.size_head()?;
            while p.eat('.') {
                let place = p.place();
                let name = p.word("`div_ceil`, `min` or `max`")?;
                let make = match name.as_str() {
                    "div_ceil" => DimExpr::DivCeil,
                    "min" => DimExpr::Min,
                    "max" => DimExpr::Max,
                    _ => {
                        return Err(place.error(ParseErrorKind::Unknown { what: "operation on sizes", name }));
                    }
                };
                p.expect('(')?;
                let (right, right_depth) = p.deep_size()?;
                p.expect(')')?;
                left = make(Box::new(left), Box::new(right));
                depth = 1 + depth.max(right_depth);
                if depth > MAX_NESTING {
                    return Err(place.error(ParseErrorKind::TooDeep(MAX_NESTING)));
                }
            }
            Ok((left, depth))
        })
    }

    /// A dim, a number, or a sum, difference, product, quotient or remainder in parentheses.
    fn size_head(&mut self) -> Parse<(DimExpr, usize)> {
        if let Token::Word(name) = self.peek() {
            let name = name.clone();
            self.at += 1;
            return Ok((DimExpr::Name(name), 1));
        }
        if !self.eat('(') {
            return Ok((DimExpr::Const(self.int()?), 1));
        }
        let (a, a_depth) = self.deep_size()?;
        let make = match self.peek() {
            Token::Mark('+') => DimExpr::Add,
            Token::Mark('-') => DimExpr::Sub,
            Token::Mark('*') => DimExpr::Mul,
            Token::Mark('/') => DimExpr::Div,
            Token::Mark('%') => DimExpr::Rem,
            _ => return self.unexpected("one of `+ - * / %`"),
        };
        self.at += 1;
        let (b, b_depth) = self.deep_size()?;
        self.expect(')')?;
        Ok((make(Box::new(a), Box::new(b)), 1 + a_depth.max(b_depth)))
    }
}

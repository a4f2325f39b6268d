//! Matrix products.

use super::calls::short;
use crate::check::Checker;
use crate::check::kind::{Elem, Kind, Shape, size_text};
use crate::check::poly::Equal;
use syn::Expr;

impl Checker {
    /// `dot(a, b)` and `dot_acc(a, b, acc)`: an f32 tile.
    pub fn dot(&mut self, args: &[(Kind, &Expr)]) -> Kind {
        let Some(a) = self.factor(&args[0]) else { return Kind::Unknown };
        let Some(b) = self.factor(&args[1]) else { return Kind::Unknown };
        let ((ea, sa), (eb, sb)) = (a, b);
        let (left, right) = (args[0].1, args[1].1);
        if self.different(&ea, &eb) {
            return self.error(
                right,
                format!("dot takes two tiles of one type, these are {ea} and {eb}: cast one of them"),
            );
        }
        if self.equal(&sa.0[1], &sb.0[0]) == Equal::No {
            let (m, n) = (short(left).unwrap_or("a".into()), short(right).unwrap_or("b".into()));
            let hint = if self.equal(&sa.0[1], &sb.0[1]) == Equal::Yes {
                format!("; did you mean `dot({m}, {n}.t())`?")
            } else if self.equal(&sa.0[0], &sb.0[0]) == Equal::Yes {
                format!("; did you mean `dot({m}.t(), {n})`?")
            } else {
                String::new()
            };
            let (k, l) = (size_text(&sa.0[1]), size_text(&sb.0[0]));
            return self.error(right, format!("dot contracts `{k}` of {sa} with `{l}` of {sb}{hint}"));
        }
        let product = Kind::Tile(Elem::F32, Shape(vec![sa.0[0].clone(), sb.0[1].clone()]));
        if let Some((acc, at)) = args.get(2)
            && self.loaded(acc, at).is_some()
            && let Some(diff) = self.diff(&product, acc)
        {
            self.error(at, format!("the accumulator of this product must be like it: {}", diff.pair()));
        }
        product
    }

    /// A factor; `None` if it was reported. One of which nothing is known has two axes of unknown size.
    fn factor(&mut self, (kind, at): &(Kind, &Expr)) -> Option<(Elem, Shape)> {
        match self.loaded(kind, at)? {
            Kind::Tile(e, _) if !e.may_be_float() => {
                self.error(at, format!("dot is defined on f32, f16 and bf16, this is a tile of {e}"));
                None
            }
            Kind::Tile(e, s) if s.rank() == 2 => Some((e.clone(), s.clone())),
            Kind::Tile(_, s) => {
                let hint = "`.unsqueeze(0)` makes a row of it, `.unsqueeze(1)` a column";
                self.error(at, format!("dot takes tiles with two axes, this has shape {s}; {hint}"));
                None
            }
            Kind::Unknown => Some((Elem::Unknown, Shape(vec![None, None]))),
            k => {
                self.error(at, format!("dot takes tiles, this is {}", k.describe()));
                None
            }
        }
    }
}

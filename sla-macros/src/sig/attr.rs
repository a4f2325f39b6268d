//! The arguments of `#[kernel(...)]`: dims, require, grid, tune.

use super::tune::{Tune, TuneEntry};
use super::{Dim, Errors};
use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, Token};

/// A condition of `require(...)`.
#[derive(Clone, Debug)]
pub struct Require {
    /// The condition.
    pub expr: Expr,
    /// As written, for messages.
    pub text: String,
}

/// One axis of `grid(...)`.
#[derive(Clone, Debug)]
pub struct GridAxis {
    /// The program id's name in the body.
    pub name: Ident,
    /// Number of programs.
    pub extent: Dim,
}

/// The attribute's arguments.
#[derive(Clone, Debug, Default)]
pub struct KernelAttr {
    /// Runtime dims.
    pub dims: Vec<Ident>,
    /// Conditions.
    pub require: Vec<Require>,
    /// Program ids, fastest first.
    pub grid: Vec<GridAxis>,
    /// What a tuner may try.
    pub tune: Tune,
}

struct GridEntry {
    name: Ident,
    extent: Expr,
}

impl Parse for GridEntry {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![in]>()?;
        Ok(GridEntry { name, extent: input.parse()? })
    }
}

impl KernelAttr {
    /// Reads the arguments of the kernel whose name is at `at`; what cannot be read is noted and left out.
    pub fn parse(tokens: TokenStream, at: Span, errors: &mut Errors) -> KernelAttr {
        let mut attr = KernelAttr::default();
        let parsed = syn::parse::Parser::parse2(Punctuated::<Clause, Token![,]>::parse_terminated, tokens);
        let Some(clauses) = errors.ok(parsed) else { return attr };
        let before = errors.count();
        for clause in clauses {
            clause.read(&mut attr, errors);
        }
        if attr.grid.is_empty() && errors.count() == before {
            errors.push(syn::Error::new(
                at,
                "a kernel needs a grid: `grid(i in N.div_ceil(BLOCK))`, with up to three program ids",
            ));
        }
        attr
    }
}

struct Clause {
    name: Ident,
    content: TokenStream,
}

impl Parse for Clause {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name = input.parse()?;
        let content;
        syn::parenthesized!(content in input);
        Ok(Clause { name, content: content.parse()? })
    }
}

impl Clause {
    fn list<T: Parse>(self, errors: &mut Errors) -> Vec<T> {
        let parsed = syn::parse::Parser::parse2(Punctuated::<T, Token![,]>::parse_terminated, self.content);
        errors.ok(parsed).map(|p| p.into_iter().collect()).unwrap_or_default()
    }

    fn read(self, attr: &mut KernelAttr, errors: &mut Errors) {
        match self.name.to_string().as_str() {
            "dims" => {
                for d in self.list::<Ident>(errors) {
                    if attr.dims.contains(&d) {
                        errors.push(syn::Error::new(d.span(), format!("the dim `{d}` is declared twice")));
                    } else {
                        attr.dims.push(d);
                    }
                }
            }
            "require" => attr.require.extend(self.list::<Expr>(errors).into_iter().map(|expr| {
                let text = text_of(expr.to_token_stream());
                Require { expr, text }
            })),
            "grid" => {
                for e in self.list::<GridEntry>(errors) {
                    if attr.grid.len() == 3 {
                        errors.push(syn::Error::new(e.name.span(), "a grid has at most three axes"));
                        break;
                    }
                    if let Some(extent) = errors.ok(Dim::parse(&e.extent)) {
                        attr.grid.push(GridAxis { name: e.name, extent });
                    }
                }
            }
            "tune" => {
                let entries = self.list::<TuneEntry>(errors);
                attr.tune.extend(entries);
            }
            other => errors.push(syn::Error::new(
                self.name.span(),
                format!("`{other}` is not known here; write dims(..), require(..), grid(..) or tune(..)"),
            )),
        }
    }
}

/// An expression as a person would write it.
fn text_of(tokens: TokenStream) -> String {
    use proc_macro2::{Delimiter, Spacing, TokenTree};
    let mut out = String::new();
    let mut tight = true;
    for t in tokens {
        match t {
            TokenTree::Punct(p) if p.as_char() == '.' || p.as_char() == ':' => {
                out.truncate(out.trim_end().len());
                out.push(p.as_char());
                tight = true;
            }
            TokenTree::Punct(p) if p.as_char() == '!' && p.spacing() == Spacing::Alone => {
                out.push_str(if tight { "!" } else { " !" });
                tight = true;
            }
            TokenTree::Punct(p) => {
                out.push_str(if tight { "" } else { " " });
                out.push(p.as_char());
                tight = p.spacing() == Spacing::Joint;
            }
            TokenTree::Group(g) => {
                let inner = text_of(g.stream());
                let called = !tight && out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
                out.push_str(if tight || called { "" } else { " " });
                out.push_str(&match g.delimiter() {
                    Delimiter::Parenthesis => format!("({inner})"),
                    Delimiter::Bracket => format!("[{inner}]"),
                    Delimiter::Brace => format!("{{ {inner} }}"),
                    Delimiter::None => inner,
                });
                tight = false;
            }
            other => {
                out.push_str(if tight { "" } else { " " });
                out.push_str(&other.to_string());
                tight = false;
            }
        }
    }
    out
}

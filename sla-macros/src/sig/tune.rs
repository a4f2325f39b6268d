//! `tune(...)` of `#[kernel(...)]`: which values a tuner may try, and by which sizes of a launch it remembers what was best.
//!
//! Names in capitals are constants of the kernel, and known here; small letters are settings of the compiler, which only the code generator knows.

use super::{Errors, Generic, GenericKind};
use proc_macro2::Span;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, Lit, Token};

/// A name with the values that it may have.
#[derive(Clone, Debug)]
pub struct TuneAxis {
    /// A constant or a setting.
    pub name: Ident,
    /// Its values as written, with their places.
    pub values: Vec<(String, Span)>,
}

/// The clause.
#[derive(Clone, Debug, Default)]
pub struct Tune {
    /// What may be varied.
    pub axes: Vec<TuneAxis>,
    /// The runtime sizes of the key.
    pub key: Vec<Ident>,
}

/// An entry of the clause.
pub enum TuneEntry {
    /// `NAME in [VALUE, ...]`
    Axis(TuneAxis),
    /// `key(DIM, ...)`
    Key(Vec<Ident>),
}

impl Parse for TuneEntry {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name = Ident::parse_any(input)?;
        let content;
        if name == "key" && !input.peek(Token![in]) {
            syn::parenthesized!(content in input);
            let dims = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
            return Ok(TuneEntry::Key(dims.into_iter().collect()));
        }
        input.parse::<Token![in]>()?;
        let values;
        syn::bracketed!(values in input);
        let values = Punctuated::<Value, Token![,]>::parse_terminated(&values)?;
        Ok(TuneEntry::Axis(TuneAxis { name, values: values.into_iter().map(|v| (v.0, v.1)).collect() }))
    }
}

/// A number, `true`, `false`, or a name such as `queue`.
struct Value(String, Span);

impl Parse for Value {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        if input.peek(Ident::peek_any) {
            let word = Ident::parse_any(input)?;
            return Ok(Value(word.to_string(), word.span()));
        }
        let lit: Lit = input.parse()?;
        match &lit {
            Lit::Int(n) if n.suffix().is_empty() => Ok(Value(n.base10_digits().to_owned(), n.span())),
            other => Err(syn::Error::new_spanned(
                other.to_token_stream(),
                "a value to try is a whole number, true, false or a name",
            )),
        }
    }
}

impl Tune {
    /// Takes in the entries of a clause.
    pub fn extend(&mut self, entries: Vec<TuneEntry>) {
        for entry in entries {
            match entry {
                TuneEntry::Axis(axis) => self.axes.push(axis),
                TuneEntry::Key(dims) => self.key.extend(dims),
            }
        }
    }

    /// Notes what cannot be of a kernel with these generics and dims.
    pub fn check(&self, generics: &[Generic], dims: &[Ident], errors: &mut Errors) {
        let mut error = |at: Span, message: String| errors.push(syn::Error::new(at, message));
        for (i, axis) in self.axes.iter().enumerate() {
            let name = &axis.name;
            if self.axes[..i].iter().any(|other| other.name == *name) {
                error(name.span(), format!("`{name}` is to be tuned twice"));
            }
            if axis.values.is_empty() {
                error(name.span(), format!("`{name}` has no values to try: `{name} in [1, 2]`"));
            }
            for (j, (value, at)) in axis.values.iter().enumerate() {
                if axis.values[..j].iter().any(|(other, _)| other == value) {
                    error(*at, format!("`{value}` is a value of `{name}` already"));
                }
            }
            if !name.to_string().starts_with(|c: char| c.is_ascii_uppercase()) {
                continue;
            }
            match generics.iter().find(|g| g.name == *name) {
                Some(Generic { kind: GenericKind::Int, .. }) => {}
                Some(Generic { kind: GenericKind::Bool, .. }) => {
                    error(
                        name.span(),
                        format!(
                            "`{name}` is a switch, which is the caller's choice; sizes and settings of the compiler are tuned"
                        ),
                    );
                    continue;
                }
                Some(_) => {
                    error(name.span(), format!("`{name}` is an element type, which is the caller's choice"));
                    continue;
                }
                None => {
                    error(
                        name.span(),
                        format!(
                            "`{name}` is no constant of this kernel; settings of the compiler have small letters"
                        ),
                    );
                    continue;
                }
            }
            let fits = |value: &str| value.parse::<u64>().is_ok_and(|n| n > 0);
            for (value, at) in axis.values.iter().filter(|(value, _)| !fits(value)) {
                error(*at, format!("`{value}` is no value of `{name}`, needed a positive whole number"));
            }
        }
        for dim in self.key.iter().filter(|dim| !dims.contains(dim)) {
            let constant = generics.iter().any(|g| g.name == *dim);
            let why = match constant {
                true => format!("`{dim}` is a constant; those that are not tuned always belong to the key"),
                false => format!("`{dim}` is no dim of this kernel"),
            };
            error(dim.span(), why);
        }
    }
}

//! Reads the text form that [`print`](super::print) writes. A kernel that parses has been verified.
//!
//! Parsing never panics, whatever the text: every failure is a [`ParseError`] at a line and column. Comments run from `//` to the end
//! of the line. The names of values may be any word; those that printing gives are their order.

mod error;
mod head;
mod lex;
mod ops;

pub use error::{ParseError, ParseErrorKind, ParseErrors};

use super::verify::findings;
use super::{BlockId, Kernel, Type, Value};
use lex::{Place, Token};
use std::collections::{BTreeMap, HashMap};

/// The kernel that a text describes.
///
/// # Errors
/// The first mistake in the text, or everything the verifier finds in the kernel.
pub fn parse(text: &str) -> Result<Kernel, ParseErrors> {
    let tokens = lex::tokens(text)?;
    let mut parser =
        Parser { tokens, at: 0, kernel: empty(), names: HashMap::new(), places: Vec::new(), depth: 0 };
    let start = parser.place();
    parser.kernel()?;
    let Parser { kernel, places, .. } = parser;
    let found = findings(&kernel);
    if found.is_empty() {
        return Ok(kernel);
    }
    let at = |f: super::verify::Finding| {
        let place = f.op.and_then(|o| places.get(o.index()).copied()).unwrap_or(start);
        place.error(ParseErrorKind::Invalid(f.message))
    };
    Err(ParseErrors(found.into_iter().map(at).collect()))
}

fn empty() -> Kernel {
    let mut kernel = Kernel {
        name: String::new(),
        dims: Vec::new(),
        grid: Vec::new(),
        params: Vec::new(),
        even: BTreeMap::new(),
        types: Vec::new(),
        ops: Vec::new(),
        blocks: Vec::new(),
        body: BlockId(0),
    };
    kernel.body = kernel.new_block();
    kernel
}

struct Parser {
    /// Never empty: the last token is the end of the text.
    tokens: Vec<(Token, Place)>,
    at: usize,
    kernel: Kernel,
    /// Every value named so far.
    names: HashMap<String, Value>,
    /// Where each op stands.
    places: Vec<Place>,
    /// Nesting of what is being read.
    depth: usize,
}

type Parse<T> = Result<T, ParseError>;

/// Expressions nested deeper than this are refused: reading must not exhaust the stack.
const MAX_NESTING: usize = 100;

impl Parser {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].0
    }

    fn place(&self) -> Place {
        self.tokens[self.at.min(self.tokens.len() - 1)].1
    }

    /// An error at the next token.
    fn unexpected<T>(&self, needed: &str) -> Parse<T> {
        let found = self.peek().to_string();
        Err(self.place().error(ParseErrorKind::Unexpected { found, needed: needed.to_string() }))
    }

    fn is(&self, mark: char) -> bool {
        *self.peek() == Token::Mark(mark)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.is(mark);
        self.at += found as usize;
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += found as usize;
        found
    }

    fn expect(&mut self, mark: char) -> Parse<()> {
        if self.eat(mark) { Ok(()) } else { self.unexpected(&format!("`{mark}`")) }
    }

    fn expect_word(&mut self, word: &str) -> Parse<()> {
        if self.eat_word(word) { Ok(()) } else { self.unexpected(&format!("`{word}`")) }
    }

    fn word(&mut self, needed: &str) -> Parse<String> {
        match self.peek() {
            Token::Word(w) => {
                let w = w.clone();
                self.at += 1;
                Ok(w)
            }
            _ => self.unexpected(needed),
        }
    }

    /// An integer with an optional sign.
    fn int(&mut self) -> Parse<i64> {
        let place = self.place();
        let sign = if self.eat('-') { "-" } else { "" };
        let Token::Number(digits) = self.peek() else { return self.unexpected("an integer") };
        let text = format!("{sign}{digits}");
        self.at += 1;
        text.parse().map_err(|_| place.error(ParseErrorKind::Number(text)))
    }

    /// Items between commas, up to a closing mark, which is read too.
    fn list<T>(&mut self, close: char, mut item: impl FnMut(&mut Parser) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(',') {
                return self.unexpected(&format!("`,` or `{close}`"));
            }
        }
    }

    /// Reads something nested one deeper.
    fn nested<T>(&mut self, limit: usize, f: impl FnOnce(&mut Parser) -> Parse<T>) -> Parse<T> {
        if self.depth >= limit {
            return Err(self.place().error(ParseErrorKind::TooDeep(limit)));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// A value that was defined before.
    fn value(&mut self) -> Parse<Value> {
        let place = self.place();
        let Token::Value(name) = self.peek() else { return self.unexpected("a value") };
        let name = name.clone();
        self.at += 1;
        match self.names.get(&name) {
            Some(&v) => Ok(v),
            None => Err(place.error(ParseErrorKind::Unknown { what: "value", name: format!("%{name}") })),
        }
    }

    /// The name of a value to be defined.
    fn new_name(&mut self) -> Parse<(String, Place)> {
        let place = self.place();
        match self.peek() {
            Token::Value(name) => {
                let name = name.clone();
                self.at += 1;
                Ok((name, place))
            }
            _ => self.unexpected("the name of a value"),
        }
    }

    fn define(&mut self, (name, place): (String, Place), ty: Type) -> Parse<Value> {
        let v = self.kernel.new_value(ty);
        if self.names.contains_key(&name) {
            return Err(place.error(ParseErrorKind::Redefined(format!("%{name}"))));
        }
        self.names.insert(name, v);
        Ok(v)
    }
}

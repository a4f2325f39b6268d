//! Characters to tokens.

use super::{Parse, ParseError, ParseErrorKind};
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `%name`, without the `%`.
    Value(String),
    /// A word: letters, digits and underscores, not starting with a digit.
    Word(String),
    /// An unsigned number as written.
    Number(String),
    /// A text in quotes, with its escapes resolved.
    Text(String),
    /// Any other character that the text form uses.
    Mark(char),
    /// The end of the text.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Value(n) => write!(f, "`%{n}`"),
            Token::Word(w) => write!(f, "`{w}`"),
            Token::Number(n) => write!(f, "`{n}`"),
            Token::Text(t) => write!(f, "{t:?}"),
            Token::Mark(c) => write!(f, "`{c}`"),
            Token::End => f.write_str("the end of the text"),
        }
    }
}

/// A line and column, from 1.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    line: u32,
    col: u32,
}

impl Place {
    /// A mistake here.
    pub fn error(self, kind: ParseErrorKind) -> ParseError {
        ParseError { line: self.line, col: self.col, kind }
    }
}

/// Every token with its place; the last is [`Token::End`].
pub fn tokens(text: &str) -> Parse<Vec<(Token, Place)>> {
    let mut lexer = Lexer { chars: text.chars().peekable(), here: Place { line: 1, col: 1 } };
    let mut out = Vec::new();
    loop {
        lexer.blank();
        let place = lexer.here;
        let token = lexer.token()?;
        let end = token == Token::End;
        out.push((token, place));
        if end {
            return Ok(out);
        }
    }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    here: Place,
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Lexer<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.here = Place { line: self.here.line.saturating_add(1), col: 1 };
        } else {
            self.here.col = self.here.col.saturating_add(1);
        }
        Some(c)
    }

    /// The character after the next.
    fn second(&self) -> Option<char> {
        self.chars.clone().nth(1)
    }

    fn take(&mut self, out: &mut String, keep: impl Fn(char) -> bool) {
        while let Some(c) = self.chars.next_if(|&c| keep(c)) {
            // No kept character is a line feed.
            self.here.col = self.here.col.saturating_add(1);
            out.push(c);
        }
    }

    /// Skips white space and comments.
    fn blank(&mut self) {
        loop {
            match self.chars.peek().copied() {
                Some(c) if c.is_whitespace() => {
                    self.bump();
                }
                Some('/') if self.second() == Some('/') => {
                    while self.chars.peek().is_some_and(|&c| c != '\n') {
                        self.bump();
                    }
                }
                _ => return,
            }
        }
    }

    fn token(&mut self) -> Parse<Token> {
        let place = self.here;
        let Some(&c) = self.chars.peek() else { return Ok(Token::End) };
        let mut text = String::new();
        if c.is_ascii_digit() {
            self.number(&mut text);
            return Ok(Token::Number(text));
        }
        if in_word(c) {
            self.take(&mut text, in_word);
            return Ok(Token::Word(text));
        }
        self.bump();
        match c {
            '%' if self.chars.peek().is_some_and(|&c| in_word(c)) => {
                self.take(&mut text, in_word);
                Ok(Token::Value(text))
            }
            '"' => self.quoted(place),
            '{' | '}' | '(' | ')' | '[' | ']' | '<' | '>' | ',' | '=' | ':' | '.' | '@' | '+' | '-' | '*'
            | '/' | '%' => Ok(Token::Mark(c)),
            c => Err(place.error(ParseErrorKind::Character(c))),
        }
    }

    /// Digits, with a fraction where a digit follows the point, with an exponent where a digit or sign follows the `e`.
    fn number(&mut self, text: &mut String) {
        let digit = |c: char| c.is_ascii_digit();
        self.take(text, digit);
        if self.chars.peek() == Some(&'.') && self.second().is_some_and(digit) {
            text.extend(self.bump());
            self.take(text, digit);
        }
        let exponent = |c: char| digit(c) || c == '-' || c == '+';
        if self.chars.peek() == Some(&'e') && self.second().is_some_and(exponent) {
            text.extend(self.bump());
            text.extend(self.bump());
            self.take(text, digit);
        }
    }

    fn quoted(&mut self, place: Place) -> Parse<Token> {
        let open = || place.error(ParseErrorKind::Quote("this text has no closing quote"));
        let mut text = String::new();
        loop {
            match self.bump().ok_or_else(open)? {
                '"' => return Ok(Token::Text(text)),
                '\\' => text.push(match self.bump().ok_or_else(open)? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    c @ ('"' | '\\') => c,
                    _ => {
                        let message = "the escapes of a text are \\n, \\r, \\t, \\\" and \\\\";
                        return Err(place.error(ParseErrorKind::Quote(message)));
                    }
                }),
                c => text.push(c),
            }
        }
    }
}

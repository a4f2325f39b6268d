//! What two texts of a kernel have in common, line by line, whatever their values are called.
//!
//! Every language here numbers values in order of appearance, so that one op less gives all that follow another number. Lines are therefore matched
//! without numbers, and then asked whether they mean the same: each value of before is bound to the one that stands in its place afterwards, and a line whose
//! operands are not those that its counterpart's are bound to has changed.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in both texts.
    Kept,
    /// It is in the text of before alone.
    Gone,
    /// It is in the text of afterwards alone.
    New,
}

/// A line of either text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What became of it.
    pub fate: Fate,
    /// As it stands afterwards. One that is gone has its values' names of afterwards, with a prime behind those that are gone as well.
    pub text: String,
    /// Its number afterwards, from 1, or that of the line behind it.
    pub number: usize,
}

/// All lines of both texts in order; of lines that changed, those of before stand first.
pub fn compare(before: &str, after: &str) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let keys = |lines: &[&str]| lines.iter().map(|l| key(l)).collect::<Vec<_>>();
    let ops = capture_diff_slices(Algorithm::Patience, &keys(&old), &keys(&new));
    let mut names = Names::default();
    let mut found = Vec::with_capacity(new.len());
    for op in &ops {
        match *op {
            DiffOp::Equal { old_index, new_index, len } => {
                for i in 0..len {
                    let (o, n) = (old_index + i, new_index + i);
                    match names.agree(old[o], new[n]) {
                        true => found.push((Fate::Kept, n, n)),
                        false => found.extend([(Fate::Gone, o, n), (Fate::New, n, n)]),
                    }
                }
            }
            DiffOp::Delete { old_index, old_len, new_index } => {
                found.extend((old_index..old_index + old_len).map(|o| (Fate::Gone, o, new_index)));
            }
            DiffOp::Insert { new_index, new_len, .. } => {
                found.extend((new_index..new_index + new_len).map(|n| (Fate::New, n, n)));
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                found.extend((old_index..old_index + old_len).map(|o| (Fate::Gone, o, new_index)));
                found.extend((new_index..new_index + new_len).map(|n| (Fate::New, n, n)));
            }
        }
    }
    // In a run of changes, what was there comes first.
    for run in found.chunk_by_mut(|a, b| a.0 != Fate::Kept && b.0 != Fate::Kept) {
        run.sort_by_key(|line| line.0 == Fate::New);
    }
    found
        .into_iter()
        .map(|(fate, i, at)| {
            let text = if fate == Fate::Gone { names.afterwards(old[i]) } else { new[i].to_string() };
            Line { fate, text, number: at + 1 }
        })
        .collect()
}

/// The parts with changes, each with up to `context` lines around them.
pub fn hunks(lines: &[Line], context: usize) -> Vec<Range<usize>> {
    let mut hunks: Vec<Range<usize>> = Vec::new();
    for (i, _) in lines.iter().enumerate().filter(|(_, line)| line.fate != Fate::Kept) {
        let (start, end) = (i.saturating_sub(context), (i + context + 1).min(lines.len()));
        match hunks.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => hunks.push(start..end),
        }
    }
    hunks
}

/// A line without the names of its values and labels, and without the depth that it stands at.
fn key(line: &str) -> String {
    let mut key = String::with_capacity(line.len());
    for part in parts(line.trim_start()) {
        match part {
            Part::Text(text) => key.push_str(text),
            Part::Name(name) => key.extend(name.chars().next()),
        }
    }
    key
}

/// Which value of before is which afterwards.
#[derive(Default)]
struct Names<'t> {
    after: HashMap<&'t str, &'t str>,
    taken: HashSet<&'t str>,
}

impl<'t> Names<'t> {
    /// Whether two lines that are equal but for names mean the same; binds the values that they are the first to name.
    fn agree(&mut self, old: &'t str, new: &'t str) -> bool {
        let mut same = true;
        for (o, n) in names(old).zip(names(new)) {
            match self.after.get(o) {
                Some(bound) => same &= *bound == n,
                None if self.taken.insert(n) => {
                    self.after.insert(o, n);
                }
                None => same = false,
            }
        }
        same
    }

    /// A line of before in the names of afterwards.
    fn afterwards(&self, line: &str) -> String {
        parts(line).fold(String::with_capacity(line.len()), |text, part| match part {
            Part::Text(kept) => text + kept,
            Part::Name(name) => match self.after.get(name) {
                Some(after) => text + after,
                None => text + name + "'",
            },
        })
    }
}

enum Part<'t> {
    Text(&'t str),
    /// With its sign: `%12`, `^bb3`, `!7`, `#4`.
    Name(&'t str),
}

fn names(line: &str) -> impl Iterator<Item = &str> {
    parts(line).filter_map(|part| match part {
        Part::Name(name) => Some(name),
        Part::Text(_) => None,
    })
}

/// A line cut at the names in it. Those of values are `%12` and `%acc.1`; of blocks, metadata and attributes only numbered ones are names.
fn parts(line: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = name_at(rest);
        let part = match end {
            0 => {
                let next = rest.char_indices().skip(1).find(|&(i, _)| name_at(&rest[i..]) > 0);
                let text = &rest[..next.map_or(rest.len(), |(i, _)| i)];
                rest = &rest[text.len()..];
                return Some(Part::Text(text));
            }
            _ => Part::Name(&rest[..end]),
        };
        rest = &rest[end..];
        Some(part)
    })
}

/// How long the name is that a text begins with; 0 if it begins with none.
fn name_at(text: &str) -> usize {
    let body = |from: usize, part_of: fn(char) -> bool| {
        text[from..].find(|c| !part_of(c)).unwrap_or(text.len() - from)
    };
    let digits = |from: usize| Some(body(from, |c| c.is_ascii_digit())).filter(|&n| n > 0).map(|n| from + n);
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '-');
    let found = match text.as_bytes()[0] {
        // Of `%1..%n` the dots are no part.
        b'%' => Some(
            text[1..1 + body(1, word)].split("..").next().unwrap_or_default().trim_end_matches('.').len(),
        )
        .filter(|&n| n > 0)
        .map(|n| 1 + n),
        b'^' if text[1..].starts_with("bb") => digits(3),
        b'!' | b'#' => digits(1),
        _ => None,
    };
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `-`, `+` or blank and the text.
    fn shown(before: &str, after: &str) -> Vec<String> {
        let sign = |fate| match fate {
            Fate::Kept => ' ',
            Fate::Gone => '-',
            Fate::New => '+',
        };
        compare(before, after).iter().map(|l| format!("{}{}", sign(l.fate), l.text)).collect()
    }

    #[test]
    fn an_op_less_changes_no_line_but_its_own() {
        let before = "%0 = a\n%1 = b %0\n%2 = c %0\n%3 = d %2\nstore %3";
        let after = "%0 = a\n%1 = c %0\n%2 = d %1\nstore %2";
        assert_eq!(shown(before, after), [" %0 = a", "-%1' = b %0", " %1 = c %0", " %2 = d %1", " store %2"]);
    }

    #[test]
    fn another_operand_is_a_change_of_that_line_alone() {
        let before = "%0 = a\n%1 = a\n%2 = b %0, %1\n%3 = c %2";
        let after = "%0 = a\n%1 = b %0, %0\n%2 = c %1";
        let lines = [" %0 = a", "-%1' = a", "-%1 = b %0, %1'", "+%1 = b %0, %0", " %2 = c %1"];
        assert_eq!(shown(before, after), lines);
        // Exchanged operands, though every name stays where it was.
        let lines = [" %0 = a", " %1 = b", "-%2 = sub %0, %1", "+%2 = sub %1, %0"];
        assert_eq!(shown("%0 = a\n%1 = b\n%2 = sub %0, %1", "%0 = a\n%1 = b\n%2 = sub %1, %0"), lines);
    }

    #[test]
    fn labels_and_metadata_are_names_and_other_signs_are_not() {
        assert_eq!(key("  br ^bb12(%a.1 : i32), !7 #3 ^x 5 % 2 é%3"), "br ^(% : i32), ! # ^x 5 % 2 é%");
        assert_eq!(key("for %7 in %2..%n.3."), "for % in %..%.");
        assert!(shown("^bb1:\n%4 = a !3", "^bb2:\n%9 = a !5").iter().all(|l| l.starts_with(' ')));
    }

    #[test]
    fn hunks_have_context_and_grow_together() {
        let text = |skip: &[usize]| {
            let lines = (0..20).filter(|i| !skip.contains(i)).map(|i| format!("line {i}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let lines = compare(&text(&[]), &text(&[3, 15]));
        assert_eq!(hunks(&lines, 2), [1..6, 13..18]);
        assert_eq!(hunks(&lines, 6).as_slice(), std::slice::from_ref(&(0..20)));
        assert_eq!(hunks(&compare("a", "a"), 3), []);
        assert_eq!(lines[3], Line { fate: Fate::Gone, text: "line 3".into(), number: 4 });
    }
}

//! What a kernel compiled with `Options::checks` writes for the host, and how the host reads it.
//!
//! The kernel takes one argument after the flat ones, the address of zeroed memory of [`DeviceLog::bytes`] bytes. Its head keeps the first failure of the
//! launch; behind it lie the elements that `print!` was given, in the order in which threads wrote them. Each thread writes its own in
//! program order, so that the n-th record of an element is from the n-th time that the op ran: from that the host
//! restores whole tiles. Writing is the lowering's business, memory and launch the runtime's.

// Where there is no compiler nothing makes a log; its reader is the same.
#![cfg_attr(not(feature = "llvm"), allow(dead_code))]

use crate::target::printed::show;
use sla_dsl::diag::{Diagnostic, Loc};
use sla_dsl::interp::Fault;
use sla_dsl::ir::Elem;
use std::collections::BTreeMap;

/// Printed elements that a log holds; more are counted only.
pub(crate) const ENTRIES: usize = 1 << 16;
/// Words in front of the printed elements: whether there is a failure, its site, axis, first index and size, and the number of elements.
pub(crate) const HEAD: usize = 8;
/// Where the number of printed elements is, in words.
pub(crate) const COUNT: usize = 5;
/// Words of a printed element: program, site and operand, place in row-major order, bits.
const ENTRY: usize = 4;
/// Bits of the second word of an entry that hold the operand; with all of them set there is none.
pub(crate) const OPERAND_BITS: u32 = 8;

/// A place in a kernel that may write to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The op's place.
    pub loc: Loc,
    /// What is reported.
    pub what: What,
}

/// What a site reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A box outside a tensor: its name, and the box's extent on each axis.
    Outside(String, Vec<i64>),
    /// A sentence.
    Failed(String),
    /// A message, and element type and shape of each value printed.
    Print(String, Vec<(Elem, Vec<usize>)>),
}

/// The log of one compiled kernel: how large it is and what its numbers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLog {
    kernel: String,
    sites: Vec<Site>,
}

/// What a launch left in its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceReport {
    /// The first failure of the launch.
    pub failure: Option<Diagnostic>,
    /// What `print!` says, a text for each time that a program reached it: by program, then in its order.
    pub printed: Vec<String>,
}

impl DeviceLog {
    pub(crate) fn new(kernel: &str, sites: Vec<Site>) -> DeviceLog {
        DeviceLog { kernel: kernel.to_string(), sites }
    }

    /// Size of the memory that a launch needs, zeroed and on a boundary of 16 bytes.
    pub fn bytes(&self) -> usize {
        let prints = self.sites.iter().any(|s| matches!(s.what, What::Print(..)));
        4 * (HEAD + if prints { ENTRIES * ENTRY } else { 0 })
    }

    /// Reads what a launch wrote; `grid` is the extent of each axis of its grid, fastest first.
    pub fn report(&self, log: &[u8], grid: &[u64]) -> DeviceReport {
        let words: Vec<u32> =
            log.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect();
        let (head, entries) = words.split_at(HEAD.min(words.len()));
        DeviceReport { failure: self.failure(head), printed: self.printed(head, entries, grid) }
    }

    fn failure(&self, head: &[u32]) -> Option<Diagnostic> {
        let &[1, site, axis, first, size, ..] = head else { return None };
        let site = self.sites.get(site as usize)?;
        let message = match &site.what {
            What::Outside(tensor, extent) => {
                let (axis, first, size) = (axis as usize, first as i32 as i64, size as i32 as i64);
                let end = first + extent.get(axis).copied().unwrap_or(0);
                Fault::OutOfBounds { tensor: tensor.clone(), axis, first, end, size }.to_string()
            }
            What::Failed(message) | What::Print(message, _) => message.clone(),
        };
        Some(Diagnostic { kernel: self.kernel.clone(), loc: site.loc, message })
    }

    fn printed(&self, head: &[u32], entries: &[u32], grid: &[u64]) -> Vec<String> {
        /// Bits of every element each time that it was printed, by operand and place.
        type Elements = BTreeMap<(u32, u32), Vec<u32>>;
        let written = head.get(COUNT).map_or(0, |&n| n as usize);
        let kept = written.min(entries.len() / ENTRY);
        // When a program first reached a site says where its texts come.
        let mut reached: BTreeMap<(u32, u32), (usize, Elements)> = BTreeMap::new();
        for (n, entry) in entries.chunks_exact(ENTRY).take(kept).enumerate() {
            let (site, operand) = (entry[1] >> OPERAND_BITS, entry[1] & ((1 << OPERAND_BITS) - 1));
            let (_, elements) = reached.entry((entry[0], site)).or_insert_with(|| (n, Elements::default()));
            elements.entry((operand, entry[2])).or_default().push(entry[3]);
        }
        let mut order: Vec<_> =
            reached.iter().map(|(&(program, site), (n, e))| (program, *n, site, e)).collect();
        order.sort_by_key(|&(program, n, ..)| (program, n));
        let mut texts = Vec::new();
        for (program, _, site, elements) in order {
            let Some(What::Print(message, operands)) = self.sites.get(site as usize).map(|s| &s.what) else {
                continue;
            };
            for time in 0..elements.values().map(Vec::len).max().unwrap_or(0) {
                let mut text = format!("{} {:?}: {message}", self.kernel, place(program, grid));
                for (operand, (elem, shape)) in operands.iter().enumerate() {
                    text.push(' ');
                    show(&mut text, shape, &|at| {
                        let times = elements.get(&(operand as u32, at as u32));
                        times.and_then(|t| t.get(time)).map_or("?".to_string(), |&bits| element(*elem, bits))
                    });
                }
                texts.push(text);
            }
        }
        if written > kept {
            texts.push(format!(
                "{}: {} more elements were printed, the log holds {kept}",
                self.kernel,
                written - kept
            ));
        }
        texts
    }
}

/// A program's place on three axes of a grid.
fn place(program: u32, grid: &[u64]) -> [u64; 3] {
    let mut rest = u64::from(program);
    std::array::from_fn(|axis| {
        let extent = grid.get(axis).copied().unwrap_or(1).max(1);
        let here = if axis + 1 < grid.len() { rest % extent } else { rest };
        rest = if axis + 1 < grid.len() { rest / extent } else { 0 };
        here
    })
}

/// An element from the word that it travelled in.
fn element(elem: Elem, bits: u32) -> String {
    match elem {
        e if e.is_float() => format!("{:?}", f32::from_bits(bits)),
        Elem::Bool => (bits != 0).to_string(),
        _ => (bits as i32).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> DeviceLog {
        let at = |line, what| Site { loc: Loc::new("k.rs", line, 1), what };
        DeviceLog::new(
            "k",
            vec![
                at(1, What::Outside("x".into(), vec![1, 8])),
                at(2, What::Failed("assertion failed: no".into())),
                at(3, What::Print("seen".into(), vec![(Elem::I32, vec![]), (Elem::F32, vec![2])])),
            ],
        )
    }

    fn report(words: &[u32]) -> DeviceReport {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        log().report(&bytes, &[2, 3])
    }

    #[test]
    fn failures_have_their_place_and_the_interpreter_s_words() {
        let told = |words: &[u32]| report(words).failure.map(|d| d.to_string());
        assert_eq!(told(&[0; 8]), None);
        assert_eq!(
            told(&[1, 0, 1, -8i32 as u32, 64, 0, 0, 0]).unwrap(),
            "k.rs:1:1: k: elements -8..0 of axis 1 of `x` are accessed, its size is 64"
        );
        assert_eq!(told(&[1, 1, 0, 0, 0, 0, 0, 0]).unwrap(), "k.rs:2:1: k: assertion failed: no");
        // A number that no site has is not believed.
        assert_eq!(told(&[1, 9, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn prints_are_put_together_by_program_and_time() {
        let (scalar, tile) = (2 << OPERAND_BITS, 2 << OPERAND_BITS | 1);
        let float = |v: f32| v.to_bits();
        let mut words = vec![0; HEAD];
        words[COUNT] = 9;
        // Program 5 came first, and its threads passed each other; it printed twice.
        for entry in [
            [5, tile, 1, float(1.5)],
            [5, scalar, 0, -1i32 as u32],
            [0, tile, 0, float(0.25)],
            [5, tile, 1, float(2.5)],
            [5, tile, 0, float(1.0)],
            [0, scalar, 0, 7],
            [5, tile, 0, float(2.0)],
            [5, scalar, 0, 8],
        ] {
            words.extend(entry);
        }
        assert_eq!(
            report(&words).printed,
            [
                "k [0, 0, 0]: seen 7 [0.25, ?]",
                "k [1, 2, 0]: seen -1 [1.0, 1.5]",
                "k [1, 2, 0]: seen 8 [2.0, 2.5]",
                "k: 1 more elements were printed, the log holds 8",
            ]
        );
    }

    #[test]
    fn only_prints_need_room() {
        let log = log();
        assert_eq!(log.bytes(), 4 * (HEAD + ENTRIES * ENTRY));
        assert_eq!(DeviceLog::new("k", log.sites[..2].to_vec()).bytes(), 4 * HEAD);
    }
}

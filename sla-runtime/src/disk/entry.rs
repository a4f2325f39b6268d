//! What a file of the cache, and a kernel of a bundle, holds: a line of JSON that says what a launch needs to know, then PTX and code, with a checksum over all.
//!
//! `magic, SHA-256 of the rest, length of the line (u32), the line, PTX, code`; numbers are little-endian.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sla_codegen::ptxas::Report;
use sla_codegen::{GpuImage, GridKind, TensorMap};
use std::io::{self, Read};

/// The first bytes of every file of this format.
const MAGIC: &[u8] = b"sla kernel 3\n";
const SUM: usize = 32;
/// What comes before the line.
const HEAD: usize = MAGIC.len() + SUM + 4;

/// A kernel for a GPU, as the compiler and the assembler left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// For people: the kernel and what it was compiled for.
    pub title: String,
    /// What the compiler made. It has no log.
    pub image: GpuImage,
    /// What the driver is given: a cubin, or PTX.
    pub code: Vec<u8>,
    /// What ptxas said, if it made the code.
    pub report: Option<Report>,
    /// [`GpuImage::fingerprint`] of the image with its PTX, which that in a bundle is without.
    pub fingerprint: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    title: String,
    entry: String,
    threads: u32,
    shared_bytes: u32,
    maps: Vec<(usize, Vec<u32>)>,
    queue: bool,
    /// Blocks of threads a multiprocessor, for a persistent grid.
    per_sm: Option<u32>,
    ptx: usize,
    code: usize,
    report: Option<Said>,
    fingerprint: u64,
}

#[derive(Serialize, Deserialize)]
struct Said {
    registers: u32,
    shared: u32,
    stack: u32,
    spill_stores: u32,
    spill_loads: u32,
    notes: Vec<String>,
}

impl Entry {
    /// The bytes of a file.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let GpuImage { entry, ptx, threads, shared_bytes, maps, queue, grid, log: _ } = &self.image;
        let line = serde_json::to_vec(&Line {
            title: self.title.clone(),
            entry: entry.clone(),
            threads: *threads,
            shared_bytes: *shared_bytes,
            maps: maps.iter().map(|m| (m.param, m.extents.clone())).collect(),
            queue: *queue,
            per_sm: match *grid {
                GridKind::Programs => None,
                GridKind::Persistent { per_sm } => Some(per_sm),
            },
            ptx: ptx.len(),
            code: self.code.len(),
            report: self.report.as_ref().map(said),
            fingerprint: self.fingerprint,
        })?;
        let length = u32::try_from(line.len()).map_err(io::Error::other)?;
        let rest = [&length.to_le_bytes()[..], &line, ptx.as_bytes(), &self.code].concat();
        Ok([MAGIC, &Sha256::digest(&rest)[..], &rest].concat())
    }

    /// The title of a file of so many bytes, of which no more than the first line is read; `None` for one that is cut short or of another format.
    pub(crate) fn title(file: &mut impl Read, bytes: u64) -> Option<String> {
        let mut head = [0; HEAD];
        file.read_exact(&mut head).ok()?;
        let (_, length) = head.strip_prefix(MAGIC)?.split_last_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as u64;
        let mut line = Vec::new();
        file.take(length).read_to_end(&mut line).ok()?;
        let line: Line = serde_json::from_slice(&line).ok()?;
        let all = [HEAD as u64, length, line.ptx as u64, line.code as u64];
        let all = all.iter().try_fold(0u64, |sum, &part| sum.checked_add(part))?;
        (all == bytes).then_some(line.title)
    }

    /// The kernel of a file; `None` for one that is damaged, cut short or of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Entry> {
        let (sum, rest) = bytes.strip_prefix(MAGIC)?.split_at_checked(SUM)?;
        if Sha256::digest(rest)[..] != *sum {
            return None;
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (line, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let line: Line = serde_json::from_slice(line).ok()?;
        let (ptx, code) = rest.split_at_checked(line.ptx)?;
        let image = GpuImage {
            entry: line.entry,
            ptx: String::from_utf8(ptx.to_vec()).ok()?,
            threads: line.threads,
            shared_bytes: line.shared_bytes,
            maps: line.maps.into_iter().map(|(param, extents)| TensorMap { param, extents }).collect(),
            queue: line.queue,
            grid: line.per_sm.map_or(GridKind::Programs, |per_sm| GridKind::Persistent { per_sm }),
            log: None,
        };
        let (report, fingerprint) = (line.report.map(report), line.fingerprint);
        Some(Entry { title: line.title, image, code: code.to_vec(), report, fingerprint })
    }
}

fn said(report: &Report) -> Said {
    let Report { registers, shared, stack, spill_stores, spill_loads, notes } = report.clone();
    Said { registers, shared, stack, spill_stores, spill_loads, notes }
}

fn report(said: Said) -> Report {
    let Said { registers, shared, stack, spill_stores, spill_loads, notes } = said;
    Report { registers, shared, stack, spill_stores, spill_loads, notes }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn example(grid: GridKind, report: Option<Report>) -> Entry {
        let image = GpuImage {
            entry: "k".into(),
            ptx: ".version 8.0 …".into(),
            threads: 384,
            shared_bytes: 200_000,
            maps: vec![TensorMap { param: 2, extents: vec![1, 64, 64] }],
            queue: true,
            grid,
            log: None,
        };
        Entry {
            title: "k for sm_90a".into(),
            image,
            code: vec![0, 1, 255, b'\n'],
            report,
            fingerprint: u64::MAX - 7,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let report = Report { registers: 168, notes: vec!["(C7510)".into()], ..Report::default() };
        for entry in
            [example(GridKind::Programs, None), example(GridKind::Persistent { per_sm: 2 }, Some(report))]
        {
            let bytes = entry.encode().unwrap();
            assert_eq!(Entry::decode(&bytes), Some(entry));
            assert_eq!(Entry::title(&mut &bytes[..], bytes.len() as u64).as_deref(), Some("k for sm_90a"));
        }
    }

    #[test]
    fn what_is_damaged_or_cut_short_is_nothing() {
        let good = example(GridKind::Programs, None).encode().unwrap();
        for end in 0..good.len() {
            assert_eq!(Entry::decode(&good[..end]), None, "the first {end} bytes");
            assert_eq!(Entry::title(&mut &good[..end], end as u64), None, "the first {end} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert_eq!(Entry::decode(&bad), None, "another byte {at}");
        }
        assert_eq!(Entry::decode(&[&good[..], b"x"].concat()), None);
    }
}

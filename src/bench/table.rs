//! A record as a table for people: our rows, and beneath each case what peers take for the same.

use std::fmt;

use super::case::Goal;
use super::peers::{Figure, Peers};
use super::record::{Part, Record, Row};

/// Letters of a reason; the JSON has all of it.
const REASON: usize = 200;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} rounds, bf16", self.device, self.plan.rounds)?;
        writeln!(
            f,
            "{:<20} {:<46} {:>9} {:>8} {:>8} {:>8} {:>16} {:>8} {:>6} {:>5} {:>5} {:>7} {:>8} {:>7}",
            "case",
            "sizes, variant",
            "ms",
            "p90",
            "TFLOP/s",
            "burst",
            "goal",
            "error",
            "MHz",
            "regs",
            "spill",
            "host us",
            "launches",
            "first s"
        )?;
        for (i, row) in self.rows.iter().enumerate() {
            self.write_row(row, f)?;
            if self.rows.get(i + 1).is_none_or(|next| next.case.name != row.case.name)
                && let Some(peers) = &self.peers
            {
                write_peers(peers, row, f)?;
            }
        }
        match &self.peers {
            Some(Peers { failed: Some(reason), .. }) => writeln!(f, "peers were not measured: {reason}"),
            _ => Ok(()),
        }
    }
}

impl Record {
    fn write_row(&self, row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match row.variant.as_str() {
            "" if row.parts.iter().any(|part| part.tuned) => format!("{}, by its record", row.sizes),
            "" => row.sizes.clone(),
            variant => variant.to_owned(),
        };
        let Some(time) = &row.time else {
            let reason: String =
                row.failed.as_deref().unwrap_or("not measured").chars().take(REASON).collect();
            return writeln!(f, "{:<20} {what:<46} failed: {reason}", row.case.name);
        };
        let goal = match row.case.goal {
            None => String::new(),
            Some(Goal::Tflops(least)) => format!(">= {least:.0}"),
            Some(Goal::Milliseconds(most)) => format!("<= {most} ms"),
            Some(Goal::Within { of, percent }) => format!("{of} -{percent:.0} %"),
        };
        let mark = match self.reached(row) {
            Some(true) => "+",
            Some(false) => "-",
            None => " ",
        };
        let taken = Record::registers(row);
        let errors = row.errors.iter().flatten().map(|m| m.error).reduce(f64::max);
        writeln!(
            f,
            "{:<20} {what:<46} {:>9.4} {:>8.4} {:>8} {:>8} {:>14} {mark} {:>8} {:>6} {:>5} {:>5} {:>7} {:>8} {:>7}",
            row.case.name,
            time.ms.median,
            time.ms.p90,
            speed(Some(time.tflops).filter(|_| row.flops > 0.0)),
            speed(time.burst_tflops.filter(|_| row.flops > 0.0)),
            goal,
            errors.map_or(String::new(), |e| format!("{e:.1e}")),
            time.mhz.map_or(String::new(), |mhz| format!("{mhz:.0}")),
            taken.map_or(String::new(), |(registers, ..)| registers.to_string()),
            taken.map_or(String::new(), |(_, spilled, guess)| spill(spilled, guess)),
            time.host_us.map_or(String::new(), |us| format!("{us:.1}")),
            time.launches.map_or(String::new(), |n| n.to_string()),
            row.first_seconds.map_or(String::new(), |s| format!("{s:.2}")),
        )?;
        if let Some(bytes) = row.extra_bytes {
            writeln!(f, "{:<20} memory beyond inputs and results: {}", "", mebibytes(bytes))?;
        }
        match row.parts.as_slice() {
            [_] => Ok(()),
            parts => parts.iter().try_for_each(|part| write_part(part, f)),
        }
    }
}

/// Bytes spilled; a guess where ptxas did not say.
fn spill(bytes: u32, guess: bool) -> String {
    if guess { format!("{bytes}?") } else { bytes.to_string() }
}

/// One kernel of several.
fn write_part(part: &Part, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(ms) = part.ms else { return Ok(()) };
    let name = format!("{} alone", part.name);
    let takes = part.takes.as_ref();
    writeln!(
        f,
        "{:<20} {name:<46} {:>9.4} {:>8.4} {:>8} {:>8} {:>16} {:>8} {:>6} {:>5} {:>5}",
        "",
        ms.median,
        ms.p90,
        speed(part.tflops.filter(|&t| t > 0.0)),
        "",
        "",
        "",
        "",
        takes.map_or(String::new(), |t| t.registers.to_string()),
        takes.map_or(String::new(), |t| spill(t.spill_stores.unwrap_or(t.local), t.spill_stores.is_none())),
    )
}

fn write_peers(peers: &Peers, row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for figure in peers.figures.iter().filter(|figure| figure.case == row.case.name) {
        let Figure { peer, note, .. } = figure;
        let name = match note.as_deref() {
            Some(note) => format!("{peer}, {note}"),
            None => peer.clone(),
        };
        match (figure.ms, figure.absent.as_deref()) {
            (Some(ms), _) => {
                let memory =
                    figure.extra_bytes.map_or(String::new(), |bytes| format!("  {}", mebibytes(bytes)));
                writeln!(f, "  {name:<65} {ms:>9.4} {:>8} {:>8}{memory}", "", speed(figure.tflops))?;
            }
            (None, reason) => writeln!(f, "  {name:<65} {}", reason.unwrap_or("not measured"))?,
        }
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A speed with three figures, whether of a GPU or of a slow host.
fn speed(tflops: Option<f64>) -> String {
    match tflops {
        None => String::new(),
        Some(t) if t >= 100.0 => format!("{t:.0}"),
        Some(t) if t >= 1.0 => format!("{t:.1}"),
        Some(t) => format!("{t:.4}"),
    }
}

//! The report as text, for terminals and for files that are compared.

use super::lines::{Fate, hunks};
use super::{CONTEXT, Change, Entry, Report};
use std::fmt::Write;

impl Report {
    /// As text: the table, then what each step changed. With `only`, changes are shown of steps whose name contains it, or of that stage.
    pub fn text(&self, only: Option<&str>) -> String {
        let mut out = format!("{}: {}\n\n", self.title, self.summary());
        row(&mut out, ["#", "stage", "pass", "ops", "lines", "ms"]);
        for (n, entry) in self.steps.iter().enumerate() {
            let (n, ms) = (n.to_string(), format!("{:.2}", entry.ms()));
            let step = &entry.step;
            row(&mut out, [&n, step.stage.name(), &step.name, &entry.ops(), &entry.effect(), &ms]);
        }
        for (n, entry) in self.steps.iter().enumerate().filter(|(_, e)| e.is_wanted(only)) {
            changes(&mut out, n, entry);
        }
        if let Some(error) = &self.failed {
            // Writing to a `String` cannot fail, here and below.
            let _ = writeln!(out, "\n== it does not compile: {error}");
        }
        out
    }
}

fn row(out: &mut String, [n, stage, pass, ops, lines, ms]: [&str; 6]) {
    let _ = writeln!(out, "{n:>3}  {stage:<6} {pass:<28} {ops:>14} {lines:>14} {ms:>9}");
}

fn changes(out: &mut String, n: usize, entry: &Entry) {
    let step = &entry.step;
    let _ = write!(out, "\n== {n} {} {}: ", step.stage, step.name);
    if let Some(why) = &step.given_up {
        let _ = writeln!(out, "given up: {why}");
        return;
    }
    match &entry.change {
        Change::Made => {
            let _ = writeln!(out, "made, {} ops in {} lines", step.ops, step.text.lines().count());
        }
        Change::Nothing => out.push_str("changed nothing\n"),
        Change::Lines(lines) => {
            let _ = writeln!(out, "{} ops, {} lines", entry.ops(), entry.effect());
            for hunk in hunks(lines, CONTEXT) {
                let _ = writeln!(out, "@@ line {} @@", lines[hunk.start].number);
                for line in &lines[hunk] {
                    let sign = match line.fate {
                        Fate::Kept => ' ',
                        Fate::Gone => '-',
                        Fate::New => '+',
                    };
                    let _ = writeln!(out, "{sign}{}", line.text);
                }
            }
        }
    }
}

//! The report as one page that needs nothing else: no scripts, no fonts, no pictures.

use super::lines::{Fate, hunks};
use super::{CONTEXT, Change, Entry, Report};
use crate::Stage;
use std::fmt::Write;

/// Changes longer than this, in lines, are folded when the page opens.
const FOLDED: usize = 400;

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 110rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .1rem .8rem; text-align: left; }
td.n, th.n { text-align: right; }
tr.nothing, .nothing { color: GrayText; }
tr:target, details:target { outline: 2px solid Highlight; }
.bar { display: inline-block; height: .6em; background: light-dark(#7aa2d6, #4a74ad); }
pre { font: 13px/1.4 ui-monospace, monospace; overflow-x: auto; padding: .5rem; border: 1px solid light-dark(#ddd, #444); }
pre span { display: block; min-height: 1.4em; }
.gone { background: light-dark(#ffe3e0, #4d1f1c); }
.new { background: light-dark(#dcf5dd, #1b3f1f); }
.at { color: GrayText; border-top: 1px dotted GrayText; }
.failed { background: light-dark(#ffe3e0, #4d1f1c); padding: .5rem; }
summary { cursor: pointer; font-weight: 600; margin-top: .8rem; }
";

impl Report {
    /// As a page. With `only`, changes are shown of steps whose name contains it, or of that stage.
    pub fn html(&self, only: Option<&str>) -> String {
        let title = escaped(&self.title);
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <h1>{title}</h1>\n<p>{}. Lines are shown with the numbers that values have after the step; a value with a prime is gone.</p>\n",
            escaped(&self.summary())
        );
        if let Some(error) = &self.failed {
            let _ =
                writeln!(out, "<p class=\"failed\">It does not compile: {}</p>", escaped(&error.to_string()));
        }
        out += "<table>\n<tr><th class=\"n\">#<th>stage<th>pass<th class=\"n\">ops<th class=\"n\">lines<th class=\"n\">ms<th>\n";
        let most = self.steps.iter().map(Entry::ms).fold(f64::MIN_POSITIVE, f64::max);
        for (n, entry) in self.steps.iter().enumerate() {
            row(&mut out, n, entry, most, entry.is_wanted(only));
        }
        out += "</table>\n";
        for (n, entry) in self.steps.iter().enumerate().filter(|(_, e)| e.is_wanted(only)) {
            changes(&mut out, n, entry);
        }
        out + "</html>\n"
    }
}

/// A row of the table; `most` is the time of the longest step.
fn row(out: &mut String, n: usize, entry: &Entry, most: f64, shown: bool) {
    let step = &entry.step;
    let class = if matches!(entry.change, Change::Nothing) { " class=\"nothing\"" } else { "" };
    let name = match shown {
        true => format!("<a href=\"#step-{n}\">{}</a>", escaped(&step.name)),
        false => escaped(&step.name),
    };
    // Writing to a `String` cannot fail, here and below.
    let _ = writeln!(
        out,
        "<tr{class}><td class=\"n\">{n}<td>{}<td>{name}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{:.2}\
         <td><span class=\"bar\" style=\"width:{:.1}em\"></span>",
        step.stage,
        escaped(&entry.ops()),
        entry.effect(),
        entry.ms(),
        12.0 * entry.ms() / most
    );
}

fn changes(out: &mut String, n: usize, entry: &Entry) {
    let step = &entry.step;
    let head = format!("{n} {} {}", step.stage, escaped(&step.name));
    if let Some(why) = &step.given_up {
        let _ = writeln!(out, "<p id=\"step-{n}\"><b>{head}</b>: given up: {}</p>", escaped(why));
        return;
    }
    match &entry.change {
        Change::Nothing => {
            let _ = writeln!(out, "<p id=\"step-{n}\" class=\"nothing\">{head}: changed nothing</p>");
            return;
        }
        Change::Made => {
            let _ = write!(
                out,
                "<details id=\"step-{n}\"><summary>{head}: made, {} ops in {} lines</summary>\n<pre>{}</pre>",
                step.ops,
                step.text.lines().count(),
                escaped(&step.text)
            );
        }
        Change::Lines(lines) => {
            let hunks = hunks(lines, CONTEXT);
            let open =
                if hunks.iter().map(ExactSizeIterator::len).sum::<usize>() <= FOLDED { " open" } else { "" };
            let _ = write!(
                out,
                "<details id=\"step-{n}\"{open}><summary>{head}: {} ops, {} lines</summary>\n<pre>",
                escaped(&entry.ops()),
                entry.effect()
            );
            for hunk in hunks {
                let _ = write!(out, "<span class=\"at\">line {}</span>", lines[hunk.start].number);
                for line in &lines[hunk] {
                    let (class, sign) = match line.fate {
                        Fate::Kept => ("", ' '),
                        Fate::Gone => (" class=\"gone\"", '-'),
                        Fate::New => (" class=\"new\"", '+'),
                    };
                    let _ = write!(out, "<span{class}>{sign}{}</span>", escaped(&line.text));
                }
            }
            out.push_str("</pre>\n");
            // MLIR is long, and there are many passes.
            if step.stage != Stage::Mlir {
                let text = escaped(&step.text);
                let _ = write!(
                    out,
                    "<details><summary>the whole text after it</summary>\n<pre>{text}</pre></details>"
                );
            }
        }
    }
    out.push_str("</details>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! Progress on standard error: a bar on a terminal, otherwise a line for each piece of work.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::Progress;

/// Shows progress; gone when dropped.
pub struct Bar {
    bar: ProgressBar,
    plain: bool,
}

impl Bar {
    /// A bar that nothing has begun on.
    pub fn new() -> Bar {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(1) };
        let style = ProgressStyle::with_template("{elapsed:>4} {msg:<36} {wide_bar} {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar, plain }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn begin(&mut self, what: &str, steps: usize) {
        self.bar.set_length(steps as u64);
        self.bar.set_position(0);
        self.bar.set_message(what.to_owned());
        if self.plain {
            // A closed standard error takes nothing from the work.
            let _ = writeln!(std::io::stderr(), "{what} ...");
        }
    }

    fn step(&mut self) {
        self.bar.inc(1);
    }

    fn at(&mut self, steps: usize, text: &str) {
        self.bar.set_position(steps as u64);
        self.bar.set_message(text.to_owned());
    }

    fn note(&mut self, text: &str) {
        self.bar.println(text);
        if self.plain {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

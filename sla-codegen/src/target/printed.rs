//! How `print!` shows a value, the same on every target. Where the text goes is the target's business.

use std::fmt::Write;

/// Adds the element of a scalar or the rows of a tile to a line; `at` gives the element at a place in row-major order.
pub(crate) fn show(line: &mut String, shape: &[usize], at: &dyn Fn(usize) -> String) {
    let row = |first: usize, n: usize| {
        let items: Vec<String> = (first..first + n).map(at).collect();
        format!("[{}]", items.join(", "))
    };
    match shape {
        [] => line.push_str(&at(0)),
        [n] => line.push_str(&row(0, *n)),
        [m, n, ..] => {
            let rows: Vec<String> = (0..*m).map(|i| row(i * n, *n)).collect();
            let _ = write!(line, "[{}]", rows.join(",\n "));
        }
    }
}

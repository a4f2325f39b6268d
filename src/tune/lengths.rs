//! Times by sequence length out of runs of `sla bench --json`, of ours and of peers, as lines of a picture.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plot::Line;

/// For each case the lines of everybody who was measured: a point for each run.
pub fn lines(runs: &[Value]) -> BTreeMap<String, Vec<Line>> {
    let mut all: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for run in runs {
        let rows = run["rows"].as_array().map_or(&[][..], Vec::as_slice);
        for row in rows {
            let (Some(case), Some(length)) = (row["case"]["name"].as_str(), length(&row["case"]["work"]))
            else {
                continue;
            };
            let lines = all.entry(case.to_owned()).or_default();
            if let Some(ms) = row["time"]["ms"]["median"].as_f64() {
                let tuned =
                    row["parts"].as_array().is_some_and(|parts| parts.iter().any(|p| p["tuned"] == true));
                let name = match (row["variant"].as_str(), tuned) {
                    (Some("") | None, true) => "this, tuned".to_owned(),
                    (Some("") | None, false) => "this".to_owned(),
                    (Some(variant), _) => format!("this, {variant}"),
                };
                add(lines, &name, (length, ms));
            }
            let figures = run["peers"]["figures"].as_array().map_or(&[][..], Vec::as_slice);
            for figure in figures.iter().filter(|figure| figure["case"] == case) {
                if let (Some(peer), Some(ms)) = (figure["peer"].as_str(), figure["ms"].as_f64()) {
                    add(lines, peer, (length, ms));
                }
            }
        }
    }
    all.values_mut().for_each(join);
    all
}

/// Makes one line of what ran by its record at some lengths and without one at the others.
fn join(lines: &mut Vec<Line>) {
    let place = |lines: &[Line], name| lines.iter().position(|line| line.name == name);
    let (Some(plain), Some(tuned)) = (place(lines, "this"), place(lines, "this, tuned")) else { return };
    let twice = |&(length, _): &(f64, f64)| lines[plain].points.iter().any(|&(other, _)| other == length);
    if lines[tuned].points.iter().any(twice) {
        return;
    }
    let points = lines[tuned].points.clone();
    lines[plain].points.extend(points);
    lines[plain].points.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines.remove(tuned);
}

fn add(lines: &mut Vec<Line>, name: &str, point: (f64, f64)) {
    let at = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
        lines.push(Line { name: name.to_owned(), points: Vec::new() });
        lines.len() - 1
    });
    // A case with several variants has its peers' figures once.
    if !lines[at].points.contains(&point) {
        lines[at].points.push(point);
    }
}

/// The tokens of a piece of work, wherever its sizes stand.
fn length(work: &Value) -> Option<f64> {
    match work {
        Value::Object(fields) => match fields.get("length") {
            Some(length) => length.as_f64(),
            None => fields.values().find_map(length),
        },
        Value::Array(items) => items.iter().find_map(length),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lengths_with_a_record_and_without_are_one_line() {
        let line =
            |name: &str, points: &[(f64, f64)]| Line { name: name.to_owned(), points: points.to_vec() };
        let mut apart = vec![line("this, tuned", &[(2.0, 0.2)]), line("this", &[(1.0, 0.1), (3.0, 0.3)])];
        join(&mut apart);
        assert_eq!(apart, [line("this", &[(1.0, 0.1), (2.0, 0.2), (3.0, 0.3)])]);
        let both = vec![line("this", &[(1.0, 0.1)]), line("this, tuned", &[(1.0, 0.05)])];
        let mut kept = both.clone();
        join(&mut kept);
        assert_eq!(kept, both, "a comparison stays one");
    }

    #[test]
    fn runs_at_several_lengths_become_lines() {
        let run = |length: u64, ms: f64| {
            let work = json!({ "sparse": [{ "batch": 1, "length": length }, { "bq": 128 }] });
            let row = |variant: &str, tuned: bool| {
                json!({
                    "case": { "name": "sparse", "work": work }, "variant": variant,
                    "parts": [{ "tuned": tuned }], "time": { "ms": { "median": ms } },
                })
            };
            json!({
                "rows": [row("", true), row("stages=2", false), { "case": { "name": "matmul", "work": { "matmul": [1, 2, 3] } } }],
                "peers": { "figures": [{ "case": "sparse", "peer": "FA", "ms": 2.0 * ms }, { "case": "sparse", "peer": "none" }] },
            })
        };
        let lines = lines(&[run(1024, 0.5), run(2048, 1.0)]);
        assert_eq!(lines.keys().collect::<Vec<_>>(), ["sparse"]);
        let line =
            |name: &str, points: [(f64, f64); 2]| Line { name: name.to_owned(), points: points.to_vec() };
        let needed = [
            line("this, tuned", [(1024.0, 0.5), (2048.0, 1.0)]),
            line("FA", [(1024.0, 1.0), (2048.0, 2.0)]),
            line("this, stages=2", [(1024.0, 0.5), (2048.0, 1.0)]),
        ];
        assert_eq!(lines["sparse"], needed);
    }
}

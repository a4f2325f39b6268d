//! Pictures of tuning, as SVG: the search of one kernel, and time against sequence length for tuned kernels beside peers.
//!
//! Figures come from journals, records and runs of `sla bench`; nothing is measured or read here.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::journal::Row;

/// Width and height.
const SIZE: (u32, u32) = (900, 540);

/// Colours of the lines, in order.
const COLOURS: [RGBColor; 6] =
    [BLUE, RED, RGBColor(0, 130, 60), RGBColor(160, 80, 0), MAGENTA, RGBColor(90, 90, 90)];

/// A line of times by sequence length.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Whose times.
    pub name: String,
    /// Tokens and milliseconds.
    pub points: Vec<(f64, f64)>,
}

/// The search: milliseconds of each candidate that was timed, in order, and the best so far; those without a time stand at the top as crosses. Nothing where
/// none was timed, or a picture that cannot be drawn.
pub fn search(title: &str, rows: &[Row]) -> Option<String> {
    let timed: Vec<(f64, f64)> =
        rows.iter().enumerate().filter_map(|(i, row)| Some((i as f64, row.fate.ms()?))).collect();
    let (low, high) = bounds(timed.iter().map(|p| p.1))?;
    let top = high + 0.08 * (high - low);
    let mut best = f64::INFINITY;
    let steps = timed.iter().flat_map(|&(i, ms)| {
        let before = best;
        best = best.min(ms);
        let from = (before.is_finite()).then_some((i, before));
        from.into_iter().chain([(i, best)])
    });
    let mut steps: Vec<(f64, f64)> = steps.collect();
    steps.push((rows.len() as f64, best));
    let others = rows.iter().enumerate().filter(|(_, row)| row.fate.ms().is_none());
    let others: Vec<(f64, f64)> = others.map(|(i, _)| (i as f64, top)).collect();
    picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(-1.0..rows.len() as f64 + 1.0, low..top + 0.03 * (high - low))
            .ok()?;
        chart.configure_mesh().x_desc("candidate").y_desc("ms").light_line_style(WHITE).draw().ok()?;
        chart
            .draw_series(timed.iter().map(|&p| Circle::new(p, 3, COLOURS[0].filled())))
            .ok()?
            .label("timed")
            .legend(|(x, y)| Circle::new((x + 8, y), 3, COLOURS[0].filled()));
        chart
            .draw_series(LineSeries::new(steps, COLOURS[1].stroke_width(2)))
            .ok()?
            .label("best so far")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], COLOURS[1].stroke_width(2)));
        chart
            .draw_series(others.iter().map(|&p| Cross::new(p, 3, COLOURS[5])))
            .ok()?
            .label("not timed")
            .legend(|(x, y)| Cross::new((x + 8, y), 3, COLOURS[5]));
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw().ok()
    })
}

/// Milliseconds by sequence length, both on scales of logarithms. Nothing without a point.
pub fn lengths(title: &str, lines: &[Line]) -> Option<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let (left, right) = bounds(points().map(|p| p.0))?;
    let (low, high) = bounds(points().map(|p| p.1))?;
    picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((left.max(1.0)..right).log_scale(), (low.max(1e-4)..high).log_scale())
            .ok()?;
        let mut mesh = chart.configure_mesh();
        mesh.x_label_formatter(&number).y_label_formatter(&number);
        mesh.x_desc("tokens").y_desc("ms").light_line_style(WHITE).draw().ok()?;
        for (i, line) in lines.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let mut points = line.points.clone();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)).point_size(3))
                .ok()?
                .label(line.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        let labels = &mut chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8));
        labels.border_style(BLACK).draw().ok()
    })
}

/// A number of an axis, without the digits that adding up gives it.
fn number(value: &f64) -> String {
    ((value * 1e6).round() / 1e6).to_string()
}

/// The least and the greatest, a little apart.
fn bounds(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let (low, high) = (values.clone().reduce(f64::min)?, values.reduce(f64::max)?);
    Some((0.97 * low, 1.03 * high.max(low + 1e-9)))
}

fn picture(draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Option<()>) -> Option<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).ok()?;
        draw(&area)?;
        area.present().ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::journal::Fate;
    use crate::tuned::Made;

    fn row(ms: Option<f64>) -> Row {
        let made = Made::default();
        let fate =
            ms.map_or(Fate::Hung("no answer".into()), |ms| Fate::Timed { ms, samples: 3, error: 0.0, made });
        Row { set: String::new(), at: 0.0, fate }
    }

    #[test]
    fn a_search_has_a_point_for_each_candidate_and_a_line_that_falls() {
        let rows = [row(Some(0.5)), row(None), row(Some(0.6)), row(Some(0.4))];
        let svg = search("sparse_fwd", &rows).unwrap();
        // One of each in the legend.
        assert_eq!(svg.matches("<circle").count(), 3 + 1, "{svg}");
        assert!(
            svg.contains("best so far") && svg.contains("sparse_fwd") && svg.trim_end().ends_with("</svg>")
        );
        assert_eq!(search("x", &[row(None)]), None);
    }

    #[test]
    fn lengths_have_a_line_for_everybody() {
        let line = |name: &str, factor: f64| Line {
            name: name.to_owned(),
            points: [4096.0, 32768.0, 8192.0].iter().map(|&l| (l, factor * l * l / 1e9)).collect(),
        };
        let svg = lengths("dense", &[line("this", 1.0), line("cuDNN", 1.1)]).unwrap();
        assert!(svg.contains("cuDNN") && svg.contains("tokens"), "{svg}");
        assert_eq!(lengths("dense", &[]), None);
        assert_eq!([number(&(0.1 + 0.2)), number(&65536.0)], ["0.3", "65536"]);
    }
}

//! Line charts of a run (loss, accuracy over steps) as SVG and PNG, with a bundled font: no system font is needed.

pub(crate) mod basis_map;
pub(crate) mod expert_map;
mod files;
mod heat_map;
pub(crate) mod plan_map;

use std::{ops::Range, path::Path, sync::LazyLock};

use anyhow::{anyhow, ensure};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    element::DashedPathElement,
    prelude::*,
    style::{FontStyle, register_font},
};

/// DejaVu Sans reduced to Latin, Greek and a few signs; its licence lies beside it.
const FONT: &[u8] = include_bytes!("../assets/dejavu-sans-subset.ttf");
/// The family that the bundled font is registered as; SVG viewers put their own in its place.
const FAMILY: &str = "sans-serif";
/// Length of a dash, and what is free between two.
const DASH: u32 = 7;
const GAP: u32 = 4;
/// Okabe and Ito's colours, which most colour-blind readers can tell apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(70, 70, 70),
];
/// Curves with at most this many points also show the points.
const FEW_POINTS: usize = 40;
/// Share of the value range that stays free above and below the curves.
const MARGIN: f64 = 0.05;

/// The end of a layer's path, which tells it from others.
fn short(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('.').rev().take(4).collect();
    parts.reverse();
    parts.join(".")
}

/// One named curve.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Name in the legend.
    pub(crate) name: String,
    /// `(x, y)` in drawing order; a point that is not finite interrupts the line.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a chart says around its curves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChartOptions {
    /// Heading.
    pub(crate) title: String,
    /// What the horizontal axis counts, for example `step`.
    pub(crate) x_label: String,
    /// What the vertical axis measures, for example `loss`.
    pub(crate) y_label: String,
    /// Ends of the vertical axis; `None` fits them to the curves.
    pub(crate) y_range: Option<(f64, f64)>,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
}

impl Default for ChartOptions {
    fn default() -> Self {
        Self {
            title: String::new(),
            x_label: "step".into(),
            y_label: String::new(),
            y_range: None,
            size: (900, 520),
        }
    }
}

/// Registers the bundled font; whether that went well.
fn font_is_ready() -> bool {
    static REGISTERED: LazyLock<bool> =
        LazyLock::new(|| register_font(FAMILY, FontStyle::Normal, FONT).is_ok());
    *REGISTERED
}

/// Draws the curves into two files, one SVG and one PNG.
///
/// # Errors
/// There is no finite point to draw, the size leaves no room, or a file cannot be written.
pub(crate) fn draw_curves(
    series: &[Series],
    options: &ChartOptions,
    svg: &Path,
    png: &Path,
) -> anyhow::Result<()> {
    ensure!(font_is_ready(), "the bundled font cannot be read");
    let (width, height) = options.size;
    ensure!(
        width >= 200 && height >= 150,
        "a chart of {width} x {height} pixels has no room for its axes"
    );
    files::vector(svg, options.size, |area| draw(area, series, options))?;
    files::pixels(png, options.size, |area| draw(area, series, options))
}

/// Draws the chart on one backend and finishes the file.
fn draw<B>(
    area: &DrawingArea<B, Shift>,
    series: &[Series],
    options: &ChartOptions,
) -> anyhow::Result<()>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
{
    let (x, y) = ranges(series, options)?;
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(&options.title, (FAMILY, 22))
        .margin(14)
        .margin_right(34)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .x_desc(&options.x_label)
        .y_desc(&options.y_label)
        .x_label_formatter(&|value| tick(*value, &x))
        .y_label_formatter(&|value| tick(*value, &y))
        .label_style((FAMILY, 14))
        .axis_desc_style((FAMILY, 16))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    for (index, curve) in series.iter().enumerate() {
        draw_curve(&mut chart, curve, index)?;
    }
    chart
        .configure_series_labels()
        .position(emptiest_corner(series, &x, &y))
        .legend_area_size(28)
        .margin(10)
        .label_font((FAMILY, 14))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

/// A chart of numbers over numbers.
type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the curve with this number among all. With the colours used up, the same ones come again in dashes.
fn draw_curve<'a, B>(chart: &mut Chart<'a, B>, curve: &Series, index: usize) -> anyhow::Result<()>
where
    B: DrawingBackend + 'a,
    B::ErrorType: 'static,
{
    let colour = COLOURS[index % COLOURS.len()];
    let style = colour.stroke_width(2);
    let is_dashed = index >= COLOURS.len();
    let mut pieces = pieces(&curve.points);
    if pieces.is_empty() {
        pieces.push(Vec::new());
    }
    for (at, piece) in pieces.into_iter().enumerate() {
        let drawn = if is_dashed {
            let series = DashedLineSeries::new(piece, DASH, GAP, style);
            let drawn = chart.draw_series(series)?;
            drawn.legend(move |(x, y)| {
                DashedPathElement::new([(x, y), (x + 22, y)], DASH, GAP, style)
            })
        } else {
            let series = LineSeries::new(piece, style);
            let drawn = chart.draw_series(series)?;
            drawn.legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style))
        };
        if at == 0 {
            drawn.label(&curve.name);
        }
    }
    if curve.points.len() <= FEW_POINTS {
        let dots = curve.points.iter().filter(|point| is_finite(point));
        chart.draw_series(dots.map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    Ok(())
}

/// The corner for the legend: the one where the fewest points lie, the upper right one first.
fn emptiest_corner(series: &[Series], x: &Range<f64>, y: &Range<f64>) -> SeriesLabelPosition {
    let share = |value: f64, range: &Range<f64>| (value - range.start) / (range.end - range.start);
    let crowd = |right: bool, upper: bool| {
        let near = |share: f64, high: bool| if high { share > 0.75 } else { share < 0.25 };
        let points = series.iter().flat_map(|curve| &curve.points);
        points
            .filter(|point| near(share(point.0, x), right) && near(share(point.1, y), upper))
            .count()
    };
    let corners = [
        (crowd(true, true), SeriesLabelPosition::UpperRight),
        (crowd(true, false), SeriesLabelPosition::LowerRight),
        (crowd(false, true), SeriesLabelPosition::UpperLeft),
        (crowd(false, false), SeriesLabelPosition::LowerLeft),
    ];
    let emptiest = corners.into_iter().min_by_key(|(crowd, _)| *crowd);
    emptiest.map_or(SeriesLabelPosition::UpperRight, |(_, corner)| corner)
}

/// Whether a point can be drawn.
fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The stretches of a curve between points that cannot be drawn.
fn pieces(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let pieces = points.split(|point| !is_finite(point));
    pieces
        .filter(|piece| !piece.is_empty())
        .map(<[_]>::to_vec)
        .collect()
}

/// Ends of both axes, so that every finite point is inside.
fn ranges(series: &[Series], options: &ChartOptions) -> anyhow::Result<(Range<f64>, Range<f64>)> {
    let points = series
        .iter()
        .flat_map(|curve| &curve.points)
        .filter(|point| is_finite(point));
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let (left, right) = bounds(&mut points.clone().map(|point| point.0));
    let (low, high) = bounds(&mut points.map(|point| point.1));
    if left > right {
        return Err(anyhow!(
            "no finite point to draw in {} curve(s)",
            series.len()
        ));
    }
    let x = if left < right {
        left..right
    } else {
        left - 0.5..right + 0.5
    };
    let y = match options.y_range {
        Some((low, high)) => {
            ensure!(
                low < high,
                "the vertical axis from {low} to {high} is empty"
            );
            low..high
        }
        None => {
            let margin = if low < high {
                (high - low) * MARGIN
            } else {
                low.abs().max(1.0) * MARGIN
            };
            low - margin..high + margin
        }
    };
    Ok((x, y))
}

/// A number at an axis, with as many digits as the axis needs.
fn tick(value: f64, range: &Range<f64>) -> String {
    let span = range.end - range.start;
    let digits = (1.0 - span.log10()).ceil().max(0.0);
    let largest = range.start.abs().max(range.end.abs());
    if digits > 6.0 || largest >= 1e7 {
        return format!("{value:.2e}");
    }
    // The sum turns -0 into 0.
    format!("{:.*}", digits as usize, value + 0.0)
}

#[cfg(test)]
mod tests;

//! Tests of the charts: what the files hold, and what cannot be drawn.

use std::fs;

use tempfile::TempDir;

use super::*;

fn curve(name: &str, values: &[f64]) -> Series {
    let points = values
        .iter()
        .enumerate()
        .map(|(step, value)| (step as f64, *value))
        .collect();
    Series {
        name: name.into(),
        points,
    }
}

fn options() -> ChartOptions {
    ChartOptions {
        title: "MRPC".into(),
        y_label: "loss".into(),
        ..ChartOptions::default()
    }
}

/// Draws into a fresh folder: the SVG's text and the PNG's bytes.
fn drawn(series: &[Series], options: &ChartOptions) -> anyhow::Result<(String, Vec<u8>)> {
    let folder = TempDir::new()?;
    let (svg, png) = (folder.path().join("a.svg"), folder.path().join("a.png"));
    draw_curves(series, options, &svg, &png)?;
    Ok((fs::read_to_string(svg)?, fs::read(png)?))
}

#[test]
fn the_svg_holds_a_line_per_curve_and_every_word() {
    let series = [
        curve("train", &[2.0, 1.0, 0.5]),
        curve("valid", &[2.1, 1.2, 0.9]),
    ];
    let (svg, _) = drawn(&series, &options()).unwrap();
    for word in ["MRPC", "step", "loss", "train", "valid"] {
        assert!(svg.contains(word), "{word}");
    }
    for colour in ["#0072B2", "#D55E00"] {
        assert!(
            svg.matches(colour).count() >= 3,
            "line, points and legend of {colour}"
        );
    }
}

#[test]
fn a_colour_that_comes_again_is_dashed() {
    let series: Vec<Series> = (0..=COLOURS.len())
        .map(|at| curve(&at.to_string(), &[at as f64, at as f64 + 1.0]))
        .collect();
    let lines = |svg: &str| svg.matches("<polyline").count();
    let (before, _) = drawn(&series[..COLOURS.len()], &options()).unwrap();
    let (after, _) = drawn(&series, &options()).unwrap();
    // One line and one in the legend for every curve before, and many short ones for the last.
    assert!(lines(&after) > lines(&before) + 20, "{}", lines(&after));
}

#[test]
fn the_png_has_the_size_and_text_in_pixels() {
    let series = [curve("train", &[2.0, 1.0, 0.5])];
    let (_, with) = drawn(&series, &options()).unwrap();
    assert_eq!(&with[1..4], b"PNG");
    assert_eq!(
        (&with[16..20], &with[20..24]),
        (&900_u32.to_be_bytes()[..], &520_u32.to_be_bytes()[..])
    );
    let (_, other) = drawn(
        &series,
        &ChartOptions {
            y_label: "cost".into(),
            ..options()
        },
    )
    .unwrap();
    assert_ne!(with, other, "another label gives other pixels");
}

#[test]
fn the_same_curves_give_the_same_files() {
    let series = [curve("train", &[2.0, 1.0, 0.5])];
    assert_eq!(
        drawn(&series, &options()).unwrap(),
        drawn(&series, &options()).unwrap()
    );
}

#[test]
fn a_value_that_is_not_finite_interrupts_its_line() {
    assert_eq!(
        pieces(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 4.0)]),
        [vec![(0.0, 1.0)], vec![(2.0, 3.0), (3.0, 4.0)]]
    );
    let whole = drawn(&[curve("a", &[1.0, 2.0, 3.0, 4.0])], &options())
        .unwrap()
        .0;
    let broken = drawn(&[curve("a", &[1.0, f64::INFINITY, 3.0, 4.0])], &options())
        .unwrap()
        .0;
    assert_ne!(whole, broken);
    assert!(!broken.contains("inf") && !broken.contains("NaN"));
}

#[test]
fn nothing_to_draw_is_an_error() {
    for series in [vec![], vec![curve("a", &[])], vec![curve("a", &[f64::NAN])]] {
        let error = drawn(&series, &options()).unwrap_err();
        assert!(
            format!("{error:#}").contains("no finite point"),
            "{error:#}"
        );
    }
}

#[test]
fn a_folder_that_does_not_exist_is_an_error_that_names_the_file() {
    let missing = Path::new("no-such-folder");
    let error = draw_curves(
        &[curve("a", &[1.0])],
        &options(),
        &missing.join("a.svg"),
        &missing.join("a.png"),
    )
    .unwrap_err();
    assert!(format!("{error:#}").contains("a.svg"), "{error:#}");
}

#[test]
fn a_single_point_and_a_flat_curve_can_be_drawn() {
    drawn(&[curve("a", &[0.7])], &options()).unwrap();
    let (x, y) = ranges(&[curve("a", &[0.0, 0.0])], &options()).unwrap();
    assert_eq!((x, y), (0.0..1.0, -0.05..0.05));
}

#[test]
fn a_given_vertical_range_is_kept_or_refused() {
    let fixed = ChartOptions {
        y_range: Some((0.0, 1.0)),
        ..options()
    };
    assert_eq!(
        ranges(&[curve("a", &[0.4, 0.6])], &fixed).unwrap().1,
        0.0..1.0
    );
    let empty = ChartOptions {
        y_range: Some((1.0, 1.0)),
        ..options()
    };
    assert!(
        ranges(&[curve("a", &[0.4])], &empty)
            .unwrap_err()
            .to_string()
            .contains("from 1 to 1")
    );
}

#[test]
fn ticks_have_the_digits_that_the_axis_needs() {
    assert_eq!(tick(300.0, &(0.0..500.0)), "300");
    assert_eq!(tick(0.65, &(0.5..1.0)), "0.65");
    assert_eq!(tick(-0.0, &(-5.0..5.0)), "0");
    assert_eq!(tick(2e-8, &(0.0..4e-8)), "2.00e-8");
}

#[test]
fn the_legend_moves_out_of_the_way_of_the_curves() {
    let corner = |values: &[f64]| {
        let series = [curve("a", values)];
        let (x, y) = ranges(&series, &options()).unwrap();
        emptiest_corner(&series, &x, &y)
    };
    assert!(matches!(
        corner(&[4.0, 2.0, 1.0, 0.5, 0.2]),
        SeriesLabelPosition::UpperRight
    ));
    assert!(matches!(
        corner(&[0.2, 0.5, 0.8, 0.9, 1.0]),
        SeriesLabelPosition::LowerRight
    ));
}

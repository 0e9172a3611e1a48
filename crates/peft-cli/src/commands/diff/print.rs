//! The comparison as text.

use peft_run::diff::{Difference, SiteDifference};

/// Prints the whole comparison.
pub(super) fn print(difference: &Difference) {
    println!("a: {}", difference.a.display());
    println!("b: {}", difference.b.display());
    if difference.equal {
        println!("equal: the same tensors and scales");
    }
    for field in &difference.config {
        println!("config `{}`: {} / {}", field.field, field.a, field.b);
    }
    sites(&difference.sites);
    for (side, paths) in [("a", &difference.only_in_a), ("b", &difference.only_in_b)] {
        for path in paths {
            println!("only {side} adapts {path}");
        }
    }
    for tensor in &difference.tensors {
        let shape = |shape: &Option<Vec<usize>>| {
            shape
                .as_ref()
                .map_or_else(|| "absent".to_owned(), |shape| format!("{shape:?}"))
        };
        println!(
            "tensor {}: {} / {}, relative difference {}",
            tensor.name,
            shape(&tensor.shape_a),
            shape(&tensor.shape_b),
            number(tensor.relative_difference)
        );
    }
    if let Some(largest) = difference.largest {
        println!("largest relative difference of a layer: {largest:.3e}");
    }
}

fn sites(sites: &[SiteDifference]) {
    let Some(width) = sites.iter().map(|site| site.path.len()).max() else {
        return;
    };
    println!(
        "{:<width$}  rank a/b   ||update a||  ||update b||  rel. difference     cosine  input angles  output angles",
        "site"
    );
    for site in sites {
        println!(
            "{:<width$}  {:>8}  {:>13.4e} {:>13.4e}  {:>15}  {:>9}  {:>12}  {:>13}",
            site.path,
            format!("{}/{}", site.rank_a, site.rank_b),
            site.norm_a,
            site.norm_b,
            number(site.relative_difference),
            site.cosine
                .map_or_else(|| "-".to_owned(), |cosine| format!("{cosine:.5}")),
            degrees(&site.angles_a),
            degrees(&site.angles_b)
        );
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3e}"))
}

/// The smallest and the largest of angles in rising order.
fn degrees(angles: &[f64]) -> String {
    match angles {
        [] => "-".to_owned(),
        [smallest, .., largest] => {
            format!("{:.1}-{:.1}°", smallest.to_degrees(), largest.to_degrees())
        }
        [angle] => format!("{:.1}°", angle.to_degrees()),
    }
}

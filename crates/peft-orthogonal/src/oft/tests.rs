//! Sizes of runs, the matrix that the numbers make, and options that are refused.

use super::*;

#[test]
fn sizes_that_do_not_divide_a_layer_are_rounded_as_in_peft() {
    let found = [
        (12, 5),
        (12, 8),
        (12, 10),
        (12, 12),
        (12, 40),
        (7, 2),
        (10, 4),
    ];
    let found = found.map(|(n, wanted)| nearest_divisor(n, wanted));
    assert_eq!(found, [4, 6, 12, 12, 12, 1, 5]);
    let oft = Oft::default();
    let sized = |size: usize| Oft {
        oft_block_size: size,
        ..oft.clone()
    };
    let run = |oft: Oft, d_in: usize, rank: usize| oft.run(&Site::new("a", d_in, 3), rank);
    assert_eq!(run(sized(2), 7, 8), 7, "never a single input");
    assert_eq!(run(sized(0), 6, 5), 2, "never a single input");
    assert_eq!(run(sized(0), 12, 4), 3);
}

#[test]
fn entries_make_a_skew_symmetric_matrix_row_by_row() {
    let (places, signs) = entries(3);
    assert_eq!(places, [0, 0, 1, 0, 0, 2, 1, 2, 0]);
    assert_eq!(signs, [0.0, 1.0, 1.0, -1.0, 0.0, 1.0, -1.0, -1.0, 0.0]);
}

#[test]
fn wrong_options_are_refused_by_name() {
    for (option, value) in [
        ("num_cayley_neumann_terms", serde_json::json!(1)),
        ("oft_block_size", serde_json::json!(1)),
        ("eps", serde_json::json!(0.0)),
        ("eps", serde_json::json!(-1.0)),
    ] {
        let options = Map::from_iter([(option.to_owned(), value.clone())]);
        let Err(error) = (OFT.from_options)(&options) else {
            panic!("{option} = {value} is accepted");
        };
        let message = error.to_string();
        assert!(
            message.contains(option) && message.contains("found"),
            "{message}"
        );
    }
}

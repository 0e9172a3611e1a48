//! Layouts of texts, their positions, and the keys that they see.

use super::*;

/// The ranges of one sequence.
fn of(seen: &Option<KeyRanges>, sequence: usize) -> Vec<Range<usize>> {
    let seen = seen.as_ref().unwrap();
    let [_, queries, _] = seen.dims();
    (0..queries)
        .map(|query| seen.get(sequence, query))
        .collect()
}

#[test]
fn tokens_see_their_own_segment_up_to_themselves() {
    let device = Device::default();
    let rows = [vec![5, 6, 7, 8]];
    let batch = CausalBatch::packed(&rows, vec![vec![0, 1, 1, 2]], &device).unwrap();
    assert_eq!(batch.positions, [[0, 0, 1, 0]]);
    let seen = batch.seen(&[], None, &device);
    assert_eq!(of(&seen, 0), [0..1, 1..2, 1..3, 3..4]);
}

#[test]
fn a_window_counts_the_token_itself_and_earlier_keys_come_first() {
    let device = Device::default();
    let batch = CausalBatch::left_padded(&[vec![1, 2, 3], vec![4, 5, 6]], &device).unwrap();
    let seen = batch.seen(&[], Some(2), &device);
    assert_eq!(of(&seen, 0), [0..1, 0..2, 1..3]);
    assert_eq!(seen.unwrap().dims(), [1, 3, 3]); // both rows are alike
    let next = CausalBatch::left_padded(&[vec![7], vec![8]], &device).unwrap();
    let next = next.after(&batch.segments);
    assert_eq!(next.positions, [[3], [3]]);
    assert!(next.seen(&batch.segments, None, &device).is_none());
    let seen = next.seen(&batch.segments, Some(2), &device);
    assert_eq!([of(&seen, 0), of(&seen, 1)].concat(), [2..4, 2..4]);
}

#[test]
fn shorter_rows_are_padded_on_the_left_and_padding_is_not_seen() {
    let device = Device::default();
    let batch = CausalBatch::left_padded(&[vec![9], vec![4, 5]], &device).unwrap();
    assert_eq!(batch.positions, [[0, 0], [0, 1]]);
    let next = CausalBatch::left_padded(&[vec![1], vec![2]], &device).unwrap();
    let next = next.after(&batch.segments);
    assert_eq!(next.positions, [[1], [2]]);
    let seen = next.seen(&batch.segments, None, &device);
    assert_eq!([of(&seen, 0), of(&seen, 1)].concat(), [1..3, 0..3]);
    assert!(CausalBatch::left_padded(&[vec![1], vec![]], &device).is_err());
}
#[test]
fn texts_in_one_row_are_the_texts_of_padded_rows() {
    let device = Device::default();
    let text = |ids, segments| Text { ids, segments };
    let texts = [
        text(&[9, 8, 7][..], &[1, 1, 2][..]),
        text(&[4], &[1]),
        text(&[5, 6], &[1, 1]),
    ];
    let one = CausalBatch::in_one_row(&texts, &device).unwrap();
    assert_eq!(one.segments, [[1, 1, 2, 3, 4, 4]]);
    assert_eq!(one.positions, [[0, 1, 0, 0, 0, 1]]);
    assert_eq!(one.texts(), [0..3, 3..4, 4..6]);
    let padded = CausalBatch::right_padded(&texts, &device).unwrap();
    assert_eq!(padded.segments, [[1, 1, 2], [1, 0, 0], [1, 1, 0]]);
    assert_eq!(padded.texts(), [0..3, 3..4, 6..8]);
    let ids = |batch: CausalBatch| -> Vec<i64> { batch.ids.into_data().iter().collect() };
    assert_eq!(ids(one), [9, 8, 7, 4, 5, 6]);
    assert_eq!(ids(padded), [9, 8, 7, 4, 0, 0, 5, 6, 0]);
    let left = CausalBatch::left_padded(&[vec![9], vec![4, 5]], &device).unwrap();
    assert_eq!(left.texts(), [1..2, 2..4]);
}

#[test]
fn a_text_without_tokens_or_segments_is_refused_by_its_number() {
    let device = Device::default();
    let text = |ids, segments| Text { ids, segments };
    let fine = text(&[1][..], &[1][..]);
    let odd = [
        (text(&[], &[]), "no tokens"),
        (text(&[1, 2], &[1]), "differ in length"),
    ];
    for (odd, problem) in odd {
        for make in [CausalBatch::in_one_row, CausalBatch::right_padded] {
            let error = make(&[fine, odd], &device).unwrap_err();
            assert!(matches!(error, ModelError::Batch { row: 1, .. }), "{error}");
            assert!(error.to_string().contains(problem), "{error}");
        }
    }
}

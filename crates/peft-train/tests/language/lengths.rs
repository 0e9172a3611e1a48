//! How long rows are, and what is said of those that do not fit.

use peft_train::data::{RowLength, RowOptions};
use serde_json::json;

use super::{options, rows};

#[test]
fn rows_that_the_length_leaves_nothing_of_are_dropped_and_counted() {
    let long = json!({"prompt": "a b c d e f a b ", "completion": "c"});
    let cut = json!({"prompt": "a ", "completion": "b c d e f"});
    let lines = [
        long.clone(),
        json!({"prompt": "a ", "completion": "b"}),
        cut,
    ];
    let found = rows(&lines, options(6)).unwrap();
    assert_eq!(found.rows.len(), 2);
    let account = found.account;
    assert_eq!(
        (account.rows, account.examples, account.dropped_rows()),
        (3, 2, 1)
    );
    let dropped = &account.dropped[0];
    assert!(
        dropped.what.contains("--max-length") && dropped.what.contains("6 tokens"),
        "{dropped}"
    );
    assert_eq!(dropped.places, ["line 1 (11 tokens)"]);
    let tokens = account.tokens.unwrap();
    assert_eq!((tokens.shortest, tokens.median, tokens.longest), (4, 8, 11));
    assert_eq!((tokens.cut_rows, tokens.cut_tokens), (1, 2));
    assert_eq!((tokens.kept, tokens.learnt), (10, Some(2 + 4)));
    let error = rows(&[long], options(6)).unwrap_err();
    assert!(
        error.contains("line 1 (11 tokens)") && error.contains("--max-length"),
        "{error}"
    );
}

#[test]
fn without_a_length_the_longest_row_is_taken_whole_as_far_as_the_model_goes() {
    let lines = [
        json!({"prompt": "a ", "completion": "b"}),
        json!({"prompt": "a ", "completion": "b c d e f a b c"}),
    ];
    let fitted = |model| RowOptions {
        length: RowLength { asked: None, model },
        ..options(0)
    };
    let whole = rows(&lines, fitted(None)).unwrap();
    assert_eq!(whole.account.tokens.as_ref().unwrap().max_length, 11);
    assert_eq!(whole.account.cut_rows(), 0);
    let cut = rows(&lines, fitted(Some(7))).unwrap();
    assert_eq!((cut.rows[1].ids.len(), cut.account.cut_rows()), (7, 1));
}

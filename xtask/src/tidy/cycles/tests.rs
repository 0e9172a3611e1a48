//! Circles that are found, and what is none.

use super::*;

/// Findings in a crate `a` of the given files below `src`.
fn messages(files: &[(&str, &str)]) -> Vec<String> {
    let parse = |(name, text): &(&str, &str)| {
        RustFile::parse(&format!("crates/a/src/{name}"), &format!("//! A.\n{text}")).unwrap()
    };
    let files: Vec<_> = files.iter().map(parse).collect();
    check(&files).iter().map(Finding::to_string).collect()
}

#[test]
fn two_modules_that_need_each_other_are_found_at_a_line_of_one() {
    let found = messages(&[
        ("x.rs", "\nuse crate::y::Y;\n"),
        ("y.rs", "fn f() { super::x::g(); }\n"),
        ("z.rs", "use crate::x::g;\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = "crates/a/src/x.rs:3: modules need each other in a circle: x -> y -> x; ";
    assert!(found[0].starts_with(expected), "{found:?}");
}

#[test]
fn a_circle_of_three_is_named_whole_and_once() {
    let found = messages(&[
        ("x.rs", "use crate::{m::y, Error};\n"),
        ("m/y.rs", "use super::z::{self, Z as Other};\n"),
        ("m/z.rs", "use super::super::x::{X};\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("m::y -> m::z -> x -> m::y;"), "{found:?}");
}

#[test]
fn two_circles_of_one_crate_are_two_findings() {
    let found = messages(&[
        ("p.rs", "use crate::q;\n"),
        ("q.rs", "use crate::{p, x};\n"),
        ("x.rs", "use crate::y::*;\n"),
        ("y.rs", "type T = Vec<crate::x::X>;\n"),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains(": p -> q -> p;") && found[1].contains(": x -> y -> x;"));
}

#[test]
fn a_name_that_is_handed_on_counts_where_it_comes_from() {
    let found = messages(&[
        ("lib.rs", "mod m;\nmod x;\npub use m::Y;\n"),
        ("m/mod.rs", "mod y;\npub use y::{Y, Other};\n"),
        ("m/y.rs", "use crate::x::X;\n"),
        ("x.rs", "fn f() -> crate::Y {}\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("m::y -> x -> m::y;"), "{found:?}");
}

#[test]
fn names_anywhere_in_code_count() {
    for x in [
        "fn f() { print(format!(\"{}\", crate::y::Y)); }\n",
        "fn f(y: crate::y::Y) {}\n",
        "fn f() { for y in crate::y::all() {} }\n",
        "fn f() { g(super::y::all::<u8>()[0] as usize); }\n",
    ] {
        let found = messages(&[("x.rs", x), ("y.rs", "use crate::x::f;\n")]);
        assert_eq!(found.len(), 1, "{x}: {found:?}");
    }
}

#[test]
fn a_module_and_its_own_folder_are_one_concept() {
    let found = messages(&[
        ("x.rs", "mod helper;\nuse self::helper::f;\n"),
        ("x/helper.rs", "use super::X;\nuse crate::x::other;\n"),
        (
            "lib.rs",
            "mod x;\npub use crate::x::X;\npub struct Error;\n",
        ),
        ("y.rs", "use crate::{Error, x::X};\n"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn tests_comments_and_visibility_do_not_count() {
    let y = ("y.rs", "use crate::x::X;\n");
    for x in [
        "#[cfg(test)]\nmod tests {\n    use crate::y::Y;\n}\n",
        "/// As [`crate::y::Y`].\npub struct X; // crate::y::Y\n",
        "pub(in crate::y) struct X;\n",
        "macro_rules! m { () => { $crate::y::Y } }\n",
    ] {
        assert!(messages(&[("x.rs", x), y]).is_empty(), "{x}");
    }
    assert!(messages(&[("x/tests.rs", "use crate::y::Y;\n"), y]).is_empty());
}

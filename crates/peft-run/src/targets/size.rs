//! Bytes for people.

/// Decimal units: `812 MB`, `2.9 GB`.
pub(super) fn size(bytes: u64) -> String {
    const MB: f64 = 1e6;
    let mb = bytes as f64 / MB;
    if mb < 9.95 {
        format!("{mb:.1} MB")
    } else if mb < 999.5 {
        format!("{mb:.0} MB")
    } else {
        format!("{:.1} GB", mb / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_two_digits_or_three() {
        let sizes = [
            0,
            1_234_567,
            12_345_678,
            999_400_000,
            999_600_000,
            8_123_000_000,
        ];
        let said = ["0.0 MB", "1.2 MB", "12 MB", "999 MB", "1.0 GB", "8.1 GB"];
        assert_eq!(sizes.map(size), said);
    }
}

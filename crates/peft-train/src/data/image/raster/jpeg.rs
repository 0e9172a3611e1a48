//! Whether a JPEG file is whole: decoders fill up what is missing of a cut one with grey, and it would be learnt.

/// Start of image.
const START: u8 = 0xd8;
/// End of image.
const END: u8 = 0xd9;
/// Start of scan: coded data follows its segment.
const SCAN: u8 = 0xda;

/// Whether these bytes begin as a JPEG file does.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, START, 0xff])
}

/// Whether the image reaches its end marker. Segments are walked through, since a preview inside one has an end marker of its own.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let Some(marker) = marker(bytes, &mut at) else {
            return false;
        };
        match marker {
            END => return true,
            // Markers without a segment: temporary, restarts.
            0x01 | 0xd0..=0xd7 => {}
            _ => {
                let Some(length) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if marker == SCAN {
                    skip_coded(bytes, &mut at);
                }
            }
        }
    }
}

/// The next marker, and the place after it.
fn marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    while *bytes.get(*at)? != 0xff {
        *at += 1;
    }
    while *bytes.get(*at)? == 0xff {
        *at += 1;
    }
    *at += 1;
    bytes.get(*at - 1).copied()
}

/// Goes to the marker that ends coded data, in which `ff 00` is a byte and `ff d0` to `ff d7` are restarts.
fn skip_coded(bytes: &[u8], at: &mut usize) {
    while let Some(two) = bytes.get(*at..*at + 2) {
        if two[0] == 0xff && two[1] != 0 && two[1] != 0xff && !(0xd0..=0xd7).contains(&two[1]) {
            return;
        }
        *at += 1;
    }
    *at = bytes.len();
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    fn encoded() -> Vec<u8> {
        let image = image::RgbImage::from_fn(40, 30, |x, y| {
            image::Rgb([(x * 6) as u8, (y * 8) as u8, (x * y) as u8])
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        image
            .write_to(&mut bytes, image::ImageFormat::Jpeg)
            .unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_whole_file_is_whole_and_no_beginning_of_it_is() {
        let bytes = encoded();
        assert!(is_jpeg(&bytes) && is_whole(&bytes));
        for end in [3, 20, bytes.len() / 2, bytes.len() - 2, bytes.len() - 1] {
            assert!(!is_whole(&bytes[..end]), "{end} of {}", bytes.len());
        }
        assert!(is_whole(
            &[bytes, b"appended by the camera".to_vec()].concat()
        ));
    }

    #[test]
    fn the_end_of_a_preview_is_not_the_end() {
        let bytes = encoded();
        let length = u16::try_from(bytes.len() + 2).unwrap().to_be_bytes();
        let preview = [&[0xff, 0xe1][..], &length, &bytes].concat();
        let nested = [&bytes[..2], &preview, &bytes[2..]].concat();
        assert!(is_whole(&nested));
        assert!(!is_whole(&nested[..nested.len() - 20]));
    }
}

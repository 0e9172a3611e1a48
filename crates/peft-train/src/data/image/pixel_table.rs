//! Tables of pixels: every row is a grey square image, one number from 0 to 255 per pixel, and perhaps a label.

use std::path::Path;

use super::options::{PictureOptions, PixelColumns};
use super::{Picture, Pixels};
use crate::TrainError;
use crate::data::problem::{Problems, shorten};
use crate::data::row_fault::RowFault;

/// How many names of a header are shown.
const SHOWN_NAMES: usize = 8;

/// Where in a row things stand.
struct Layout {
    label: Option<usize>,
    /// Pixels of a row of the image, and rows.
    side: usize,
    cells: usize,
}

/// Images and labels of a table.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    options: &PictureOptions,
) -> Result<(Vec<Picture>, Vec<String>), TrainError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut layout: Option<Layout> = None;
    let mut headed = false;
    let mut problems = Problems::default();
    let (mut pictures, mut labels) = (Vec::new(), Vec::new());
    for record in reader.byte_records() {
        let record = record.map_err(|error| TrainError::Picture {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let layout = match &layout {
            Some(layout) => layout,
            None => {
                let is_header = is_header(&record, options);
                headed = is_header;
                let found = match is_header {
                    true => below_header(path, &record, options)?,
                    false => without_header(path, &record, options)?,
                };
                let found = layout.insert(found);
                if is_header {
                    continue;
                }
                found
            }
        };
        if let Some((picture, label)) = problems.keep(line, row(&record, layout)) {
            pictures.push(Picture::Pixels(picture));
            labels.extend(label);
        }
    }
    if !headed && let Some(label) = word_before_numbers(&labels) {
        let column = options.label_column.clone();
        problems.push(1, RowFault::HeaderAsLabel { column, label });
    }
    problems.finish(path)?;
    Ok((pictures, labels))
}

/// A first row is a header when it names the label, or two of its cells are no pixels: a label alone may be a word.
fn is_header(record: &csv::ByteRecord, options: &PictureOptions) -> bool {
    let words = record.iter().filter(|cell| number(cell).is_none());
    label_at(record, options).is_some() || words.take(2).count() == 2
}

fn label_at(header: &csv::ByteRecord, options: &PictureOptions) -> Option<usize> {
    let name = options.label_column.as_bytes();
    header
        .iter()
        .position(|cell| cell.trim_ascii().eq_ignore_ascii_case(name))
}

/// The first label when it alone is no whole number, as the name in a header of numbers is not.
fn word_before_numbers(labels: &[String]) -> Option<String> {
    let whole = |label: &String| label.parse::<i64>().is_ok();
    let (first, rest) = labels.split_first()?;
    (!rest.is_empty() && !whole(first) && rest.iter().all(whole)).then(|| shorten(first))
}

fn below_header(
    path: &Path,
    header: &csv::ByteRecord,
    options: &PictureOptions,
) -> Result<Layout, TrainError> {
    let cells = header.len();
    if options.columns.is_some() {
        return Err(wrong(
            path,
            "has a header, which says what the columns are; leave `columns` out".into(),
        ));
    }
    let label = label_at(header, options);
    if label.is_none() && side(cells).is_none() && side(cells - 1).is_some() {
        let names = header.iter().take(SHOWN_NAMES);
        return Err(TrainError::MissingColumn {
            path: path.to_path_buf(),
            expected: vec![options.label_column.clone()],
            found: names
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect(),
        });
    }
    layout(path, label, cells)
}

/// Where a label would fit and the first row does not tell at which end it stands, it has to be said.
fn without_header(
    path: &Path,
    first: &csv::ByteRecord,
    options: &PictureOptions,
) -> Result<Layout, TrainError> {
    let cells = first.len();
    let last = cells.saturating_sub(1);
    let label = match options.columns {
        Some(PixelColumns::LabelFirst) => Some(0),
        Some(PixelColumns::LabelLast) => Some(last),
        Some(PixelColumns::Unlabelled) => None,
        None if side(cells).is_some() || side(last).is_none() => None,
        None => match (
            first.get(0).and_then(number),
            first.get(last).and_then(number),
        ) {
            (None, Some(_)) => Some(0),
            (Some(_), None) => Some(last),
            _ => {
                return Err(wrong(
                    path,
                    "has no header and a label at one end of each row, which could be either; give the columns: `pixels,label` or \
                     `label,pixels`"
                        .into(),
                ));
            }
        },
    };
    layout(path, label, cells)
}

fn layout(path: &Path, label: Option<usize>, cells: usize) -> Result<Layout, TrainError> {
    let pixels = cells - usize::from(label.is_some());
    match side(pixels).filter(|_| pixels > 0) {
        Some(side) => Ok(Layout { label, side, cells }),
        None => Err(wrong(
            path,
            format!(
                "expected rows of a square number of pixels with or without a label, found {cells} cells; of colour images \
                 keep the files, in a folder per class"
            ),
        )),
    }
}

fn wrong(path: &Path, message: String) -> TrainError {
    TrainError::Picture {
        path: path.to_path_buf(),
        message,
    }
}

fn side(pixels: usize) -> Option<usize> {
    let side = pixels.isqrt();
    (side * side == pixels).then_some(side)
}

fn row(record: &csv::ByteRecord, layout: &Layout) -> Result<(Pixels, Option<String>), RowFault> {
    if record.len() < layout.cells {
        return Err(RowFault::TooFewCells {
            expected: layout.cells,
            found: record.len(),
            columns: "pixels".into(),
        });
    }
    if record.len() > layout.cells {
        return Err(RowFault::TooManyCells {
            expected: layout.cells,
            found: record.len(),
        });
    }
    let mut values = Vec::with_capacity(layout.cells);
    for (at, cell) in record
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != layout.label)
    {
        values.push(number(cell).ok_or_else(|| RowFault::WrongCell {
            column: (at + 1).to_string(),
            expected: "a whole number from 0 to 255",
            found: format!("`{}`", shorten(&String::from_utf8_lossy(cell))),
        })?);
    }
    let label = layout
        .label
        .map(|at| String::from_utf8_lossy(&record[at]).trim().to_owned());
    if label.as_ref().is_some_and(String::is_empty) {
        return Err(RowFault::EmptyCell {
            column: "label".into(),
            expected: "a label",
        });
    }
    let pixels = Pixels {
        width: layout.side,
        height: layout.side,
        channels: 1,
        values,
    };
    Ok((pixels, label))
}

/// A byte; also written as a float, as numpy does (`13.0`).
fn number(cell: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(cell).ok()?.trim();
    let whole = text.split_once('.').map_or(Some(text), |(whole, rest)| {
        rest.bytes().all(|digit| digit == b'0').then_some(whole)
    })?;
    whole.parse().ok()
}

//! Values in rows, dark where they are large.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{FAMILY, files, font_is_ready};

/// Pixels of one value, and of the names beside them.
const CELL: (u32, u32) = (46, 34);
const NAMES: u32 = 330;
const HEAD: u32 = 64;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    /// A share; written in percent.
    pub(crate) share: f64,
    /// Whether it stands out.
    pub(crate) framed: bool,
}

/// Named rows of values.
#[derive(Debug)]
pub(crate) struct HeatMap {
    /// What it shows.
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) rows: Vec<(String, Vec<Cell>)>,
}

impl HeatMap {
    /// Draws it as `stem.svg` and `stem.png`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn draw(&self, stem: &Path) -> Result<[PathBuf; 2]> {
        ensure!(font_is_ready(), "the bundled font cannot be read");
        let files = ["svg", "png"].map(|end| stem.with_extension(end));
        let [svg, png] = &files;
        let size = self.size();
        files::vector(svg, size, |area| self.onto(area))?;
        files::pixels(png, size, |area| self.onto(area))?;
        Ok(files)
    }

    fn size(&self) -> (u32, u32) {
        let columns = self.rows.iter().map(|(_, cells)| cells.len()).max();
        let width = (NAMES + columns.unwrap_or(0) as u32 * CELL.0 + 20).max(700);
        (width, HEAD + self.rows.len() as u32 * CELL.1 + 20)
    }

    fn onto<B>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        area.draw(&Text::new(self.title.as_str(), (12, 14), (FAMILY, 17)))?;
        let cells = self.rows.iter().flat_map(|(_, cells)| cells);
        let greatest = cells.map(|cell| cell.share).fold(0.0, f64::max);
        for (row, (name, cells)) in self.rows.iter().enumerate() {
            let top = (HEAD + row as u32 * CELL.1) as i32;
            area.draw(&Text::new(name.as_str(), (12, top + 9), (FAMILY, 14)))?;
            for (column, cell) in cells.iter().enumerate() {
                let left = (NAMES + column as u32 * CELL.0) as i32;
                cell.onto(area, (left, top), greatest)?;
            }
        }
        area.present()?;
        Ok(())
    }
}

impl Cell {
    fn onto<B>(
        &self,
        area: &DrawingArea<B, Shift>,
        (left, top): (i32, i32),
        greatest: f64,
    ) -> Result<()>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
    {
        let depth = if greatest > 0.0 {
            self.share / greatest
        } else {
            0.0
        };
        let shade = |light: u8, dark: u8| {
            (f64::from(light) + depth * (f64::from(dark) - f64::from(light))) as u8
        };
        let colour = RGBColor(shade(245, 0), shade(248, 90), shade(252, 160));
        let corners = [
            (left + 2, top + 2),
            (left + CELL.0 as i32 - 2, top + CELL.1 as i32 - 2),
        ];
        area.draw(&Rectangle::new(corners, colour.filled()))?;
        if self.framed {
            area.draw(&Rectangle::new(corners, BLACK.stroke_width(2)))?;
        }
        let ink = if depth > 0.55 { WHITE } else { BLACK };
        let label = format!("{:.1}", 100.0 * self.share);
        area.draw(&Text::new(
            label,
            (left + 9, top + 10),
            (FAMILY, 13).into_font().color(&ink),
        ))?;
        Ok(())
    }
}

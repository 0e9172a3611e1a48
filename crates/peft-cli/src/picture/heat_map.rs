//! The importance of every layer as a map: types below one another, layers side by side.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use peft_prune::{Plan, PlannedSite};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{FAMILY, font_is_ready};

/// Pixels of one layer, and of the names beside them.
const CELL: (u32, u32) = (46, 34);
const NAMES: u32 = 330;
const HEAD: u32 = 64;

/// Draws a plan into two files: dark is important, a frame marks a pair of its own.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn draw(plan: &Plan, svg: &Path, png: &Path) -> Result<()> {
    ensure!(font_is_ready(), "the bundled font cannot be read");
    let map = Map::of(plan);
    let size = map.size();
    let area = SVGBackend::new(svg, size).into_drawing_area();
    map.onto(&area)
        .with_context(|| format!("cannot draw {}", svg.display()))?;
    let area = BitMapBackend::new(png, size).into_drawing_area();
    map.onto(&area)
        .with_context(|| format!("cannot draw {}", png.display()))
}

/// Rows of sites, one for each type.
struct Map<'a> {
    rows: Vec<(&'a str, Vec<&'a PlannedSite>)>,
    plan: &'a Plan,
    title: String,
}

impl<'a> Map<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut rows: Vec<(&str, Vec<&PlannedSite>)> = Vec::new();
        for site in &plan.sites {
            match rows.iter_mut().find(|(kind, _)| *kind == site.kind) {
                Some((_, sites)) => sites.push(site),
                None => rows.push((&site.kind, vec![site])),
            }
        }
        let share = 100.0 * plan.parameters_after as f64 / plan.parameters_before.max(1) as f64;
        Self {
            rows,
            plan,
            title: format!(
                "importance of each layer in %, framed: a pair of its own ({share:.0} % of the parameters)"
            ),
        }
    }

    fn size(&self) -> (u32, u32) {
        let columns = self
            .rows
            .iter()
            .map(|(_, sites)| sites.len())
            .max()
            .unwrap_or(0) as u32;
        let width = (NAMES + columns * CELL.0 + 20).max(700);
        (width, HEAD + self.rows.len() as u32 * CELL.1 + 20)
    }

    fn onto<B>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        area.draw(&Text::new(self.title.as_str(), (12, 14), (FAMILY, 17)))?;
        let greatest = self
            .rows
            .iter()
            .flat_map(|(_, sites)| sites)
            .map(|site| site.importance)
            .fold(0.0, f64::max);
        for (row, (kind, sites)) in self.rows.iter().enumerate() {
            let top = (HEAD + row as u32 * CELL.1) as i32;
            let name = kind.rsplit(".*.").next().unwrap_or(kind);
            area.draw(&Text::new(name, (12, top + 9), (FAMILY, 14)))?;
            for (column, site) in sites.iter().enumerate() {
                let left = (NAMES + column as u32 * CELL.0) as i32;
                cell(
                    area,
                    (left, top),
                    site,
                    greatest,
                    self.plan.is_private(site),
                )?;
            }
        }
        area.present()?;
        Ok(())
    }
}

fn cell<B>(
    area: &DrawingArea<B, Shift>,
    (left, top): (i32, i32),
    site: &PlannedSite,
    greatest: f64,
    is_private: bool,
) -> Result<()>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
{
    let depth = if greatest > 0.0 {
        site.importance / greatest
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
    if is_private {
        area.draw(&Rectangle::new(corners, BLACK.stroke_width(2)))?;
    }
    let ink = if depth > 0.55 { WHITE } else { BLACK };
    let label = format!("{:.1}", 100.0 * site.importance);
    area.draw(&Text::new(
        label,
        (left + 9, top + 10),
        (FAMILY, 13).into_font().color(&ink),
    ))?;
    Ok(())
}

//! One adapter per row of a batch.

use burn::tensor::kind::Basic;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Which adapter each row of a batch goes through; `None` is the base model.
///
/// Every layer runs its frozen part once over the whole batch and each adapter once over its rows together, and puts
/// the results back in the order of the batch: `y[i] = adapter_of(i)(x[i])`. Rows that follow one another need no
/// copying to be brought together.
#[derive(Debug)]
pub struct RowAdapters {
    len: usize,
    groups: Vec<Group>,
    /// Where each row of the batch is among the rows sorted by group; `None` when they are in order already.
    inverse: Option<Tensor<1, Int>>,
}

#[derive(Debug)]
struct Group {
    adapter: Option<String>,
    items: Items,
}

#[derive(Debug)]
enum Items {
    Range(std::ops::Range<usize>),
    Picked {
        count: usize,
        rows: Box<Tensor<1, Int>>,
    },
}

impl RowAdapters {
    /// The adapter of each row, in the order of the batch. `device` is the one of the batch.
    ///
    /// A name that a layer does not have means the base there, as for an adapter that leaves the layer out;
    /// [`crate::require_adapters`] finds names that no layer has.
    #[must_use]
    pub fn new(adapters: &[Option<&str>], device: &Device) -> Self {
        let mut names: Vec<Option<&str>> = Vec::new();
        for name in adapters {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        let mut order = Vec::with_capacity(adapters.len());
        let mut groups = Vec::with_capacity(names.len());
        for name in names {
            let rows: Vec<usize> = (0..adapters.len())
                .filter(|row| adapters[*row] == name)
                .collect();
            groups.push(Group {
                adapter: name.map(str::to_owned),
                items: Items::new(&rows, device),
            });
            order.extend(rows);
        }
        let in_order = order.iter().enumerate().all(|(at, row)| at == *row);
        let inverse = (!in_order).then(|| {
            let mut inverse = vec![0; order.len()];
            for (at, row) in order.iter().enumerate() {
                inverse[*row] = at;
            }
            indices(&inverse, device)
        });
        Self {
            len: adapters.len(),
            groups,
            inverse,
        }
    }

    /// Number of rows in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Names that occur, each once, in the order of their first row.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups
            .iter()
            .filter_map(|group| group.adapter.as_deref())
    }

    /// The rows of each group of `x [rows * k, d]`, with the name of its adapter.
    pub(crate) fn split<K: Basic>(&self, x: Tensor<2, K>) -> Vec<(Option<&str>, Tensor<2, K>)> {
        let [rows, d] = x.dims();
        assert!(
            self.len > 0 && rows % self.len == 0,
            "adapters are given for {} rows, the batch does not divide into them: {rows}",
            self.len
        );
        let each = rows / self.len;
        let x = x.reshape([self.len, each * d]);
        self.groups
            .iter()
            .map(|group| {
                let (count, part) = group.items.take(x.clone());
                (group.adapter.as_deref(), part.reshape([count * each, d]))
            })
            .collect()
    }

    /// Puts the groups' results `[rows_of_group * k, d]`, in the order of [`Self::split`], into the order of the batch.
    pub(crate) fn join(&self, parts: Vec<Tensor<2>>) -> Tensor<2> {
        let joined = Tensor::cat(parts, 0);
        let Some(inverse) = &self.inverse else {
            return joined;
        };
        let [rows, d] = joined.dims();
        joined
            .reshape([self.len, rows / self.len * d])
            .select(0, inverse.clone())
            .reshape([rows, d])
    }
}

impl Items {
    fn new(rows: &[usize], device: &Device) -> Self {
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        if last - first + 1 == rows.len() {
            Self::Range(first..last + 1)
        } else {
            Self::Picked {
                count: rows.len(),
                rows: Box::new(indices(rows, device)),
            }
        }
    }

    fn take<K: Basic>(&self, x: Tensor<2, K>) -> (usize, Tensor<2, K>) {
        match self {
            Self::Range(range) => {
                let width = x.dims()[1];
                (range.len(), x.slice([range.clone(), 0..width]))
            }
            Self::Picked { count, rows } => (*count, x.select(0, rows.as_ref().clone())),
        }
    }
}

fn indices(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = rows
        .iter()
        .map(|row| i32::try_from(*row).expect("a batch has fewer than two thousand million rows"))
        .collect();
    Tensor::from_data(TensorData::new(values, [rows.len()]), device)
}

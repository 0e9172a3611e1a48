//! The host: a frozen linear layer with any number of named adapters of any methods.

use std::sync::Arc;

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param,
};
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor};
use peft_format::Site;

use crate::adapter::{AnyAdapter, BaseLinear, TensorName, cast};
use crate::file::TensorKey;
use crate::pass::Pass;
use crate::weight::Weight;

/// A linear layer `y = x W + bias` whose output adapters change.
///
/// With active adapters `i` of weights `w_i`: `y = x W + bias + sum_i w_i delta_i(x)`. Families use this type for every linear layer and
/// know no method. In a pass with [`crate::RowAdapters`] each row of the batch goes through the adapter named for it instead, active or not.
///
/// # Shapes
/// `weight [d_in, d_out]`, `bias [d_out]`; input `[.., d_in]`, output `[.., d_out]`.
#[derive(Module, Debug)]
pub struct AdaptedLinear {
    /// The layer's own weight, shape `[d_in, d_out]`; frozen unless the whole module is trained.
    pub weight: Weight,
    /// The layer's own bias, shape `[d_out]`.
    pub bias: Option<Param<Tensor<1>>>,
    adapters: AdapterSet,
    #[module(skip)]
    site: Arc<Site>,
}

impl AdaptedLinear {
    /// A layer without adapters.
    ///
    /// # Panics
    /// When the weight is not `[site.d_in, site.d_out]`: a mistake of the family that builds it.
    #[must_use]
    pub fn new(site: Site, weight: impl Into<Weight>, bias: Option<Param<Tensor<1>>>) -> Self {
        let weight = weight.into();
        assert_eq!(
            weight.dims(),
            [site.d_in, site.d_out],
            "site `{}`: the weight must be [d_in, d_out]",
            site.path
        );
        Self {
            weight,
            bias,
            adapters: AdapterSet::default(),
            site: Arc::new(site),
        }
    }

    /// Where the layer is and how large.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// How files call a tensor of an adapter here: under the layer, or under no module where the adapter has the tensor once.
    pub(crate) fn key_of(&self, tensor: &TensorName) -> TensorKey {
        TensorKey {
            module: match tensor.common {
                true => String::new(),
                false => self.site.path.clone(),
            },
            tensor: tensor.file.to_string(),
        }
    }

    pub(crate) fn set_path(&mut self, path: &str) {
        path.clone_into(&mut Arc::make_mut(&mut self.site).path);
    }

    /// Applies the layer and its active adapters to the last axis of `x`.
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>, pass: &mut Pass<'_>) -> Tensor<D> {
        let mut dims = x.dims();
        let rows = dims[..D - 1].iter().product::<usize>();
        let y = self.forward_rows(x.reshape([rows, self.site.d_in]), pass);
        dims[D - 1] = self.site.d_out;
        y.reshape(dims)
    }

    fn forward_rows(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let Some(rows) = pass.rows().filter(|_| self.has_adapters()) else {
            let active: Vec<Chosen<'_>> = self.active_adapters().collect();
            return self.through(x, &active, pass);
        };
        let named = |name: Option<&str>| self.adapter(name?);
        if rows
            .names()
            .filter_map(|name| named(Some(name)))
            .any(AnyAdapter::replaces_base)
        {
            let parts = rows.split(x).into_iter().map(|(name, x)| {
                let chosen = name.and_then(|name| Some((name, self.adapter(name)?, 1.0)));
                self.through(x, chosen.as_slice(), pass)
            });
            return rows.join(parts.collect());
        }
        let (base, stored) = (self.base(), x.dtype());
        let x = cast(x, DType::F32);
        let product = base.product(x.clone());
        let products = rows.split(product.clone());
        let parts = rows.split(x).into_iter().zip(products);
        let deltas = parts.map(|((name, x), (_, product))| match named(name) {
            Some(adapter) => adapter.delta(x, &product, &base, pass),
            None => product.zeros_like(),
        });
        cast(base.add_bias(product + rows.join(deltas.collect())), stored)
    }

    /// The layer's output with these adapters, by the shortest way.
    fn through(&self, x: Tensor<2>, adapters: &[Chosen<'_>], pass: &mut Pass<'_>) -> Tensor<2> {
        let base = self.base();
        match adapters {
            [] => base.output(x),
            [(_, only, 1.0)] if !pass.is_observed() => {
                let stored = x.dtype();
                cast(only.forward(cast(x, DType::F32), &base, pass), stored)
            }
            several => self.sum_of_deltas(x, several, pass),
        }
    }

    /// A base in half precision multiplies in its own type; adapters, whose values are f32, add up in f32.
    fn sum_of_deltas(
        &self,
        x: Tensor<2>,
        adapters: &[Chosen<'_>],
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let base = self.base();
        let stored = x.dtype();
        let x = cast(x, DType::F32);
        let product = base.product(x.clone());
        let mut output = base.add_bias(product.clone());
        for (name, adapter, weight) in adapters {
            let delta = adapter.delta(x.clone(), &product, &base, pass);
            let delta = if *weight == 1.0 {
                delta
            } else {
                delta.mul_scalar(*weight)
            };
            pass.observe(&self.site, name, &x, &delta);
            output = output + delta;
        }
        cast(output, stored)
    }

    /// The frozen layer under the adapters.
    #[must_use]
    pub fn base(&self) -> BaseLinear<'_> {
        BaseLinear {
            site: &self.site,
            weight: &self.weight,
            bias: self.bias.as_ref(),
        }
    }

    /// Adds an adapter under `name`, active with weight 1; replaces one of the same name.
    pub fn insert(&mut self, name: &str, adapter: AnyAdapter) {
        self.adapters.remove(name);
        self.adapters.0.push(NamedAdapter {
            name: name.to_owned(),
            weight: Some(1.0),
            adapter,
        });
    }

    /// Puts another adapter in the place of the one called `name`, with its weight, and returns that one.
    pub(crate) fn replace(&mut self, name: &str, adapter: AnyAdapter) -> Option<AnyAdapter> {
        let named = self
            .adapters
            .0
            .iter_mut()
            .find(|named| named.name == name)?;
        Some(std::mem::replace(&mut named.adapter, adapter))
    }

    /// Takes the adapter called `name` out.
    pub fn remove(&mut self, name: &str) -> Option<AnyAdapter> {
        self.adapters.remove(name)
    }

    /// The adapter called `name`.
    #[must_use]
    pub fn adapter(&self, name: &str) -> Option<&AnyAdapter> {
        self.adapters
            .0
            .iter()
            .find(|named| named.name == name)
            .map(|named| &named.adapter)
    }

    /// Whether the layer holds any adapter, active or not.
    #[must_use]
    pub fn has_adapters(&self) -> bool {
        !self.adapters.0.is_empty()
    }

    /// Names of all adapters, active or not, in the order of insertion.
    pub fn adapter_names(&self) -> impl Iterator<Item = &str> {
        self.adapters.0.iter().map(|named| named.name.as_str())
    }

    /// Active adapters with their weights.
    pub fn active_adapters(&self) -> impl Iterator<Item = (&str, &AnyAdapter, f64)> {
        self.adapters
            .active()
            .map(|(named, weight)| (named.name.as_str(), &named.adapter, weight))
    }

    /// Makes exactly these adapters active, each with its weight; names that are not here are ignored.
    pub fn activate(&mut self, weights: &[(&str, f64)]) {
        for named in &mut self.adapters.0 {
            named.weight = weights
                .iter()
                .find(|(name, _)| *name == named.name)
                .map(|(_, weight)| *weight);
        }
    }
}

/// The layer without a path as yet; [`crate::named`] gives it the one that it has in its model.
impl From<Linear> for AdaptedLinear {
    fn from(linear: Linear) -> Self {
        let dims = linear.weight.lazy_shape();
        Self::new(Site::new("", dims[0], dims[1]), linear.weight, linear.bias)
    }
}

/// An adapter that takes part in a forward: its name and the factor of its delta.
type Chosen<'a> = (&'a str, &'a AnyAdapter, f64);

#[derive(Debug, Clone)]
struct NamedAdapter {
    name: String,
    /// Factor of the delta; `None` while the adapter is inactive.
    weight: Option<f64>,
    adapter: AnyAdapter,
}

/// The slot: a module whose children are chosen at run time.
#[derive(Debug, Clone, Default)]
struct AdapterSet(Vec<NamedAdapter>);

impl AdapterSet {
    fn active(&self) -> impl Iterator<Item = (&NamedAdapter, f64)> {
        self.0
            .iter()
            .filter_map(|named| named.weight.map(|weight| (named, weight)))
    }

    fn remove(&mut self, name: &str) -> Option<AnyAdapter> {
        let index = self.0.iter().position(|named| named.name == name)?;
        Some(self.0.remove(index).adapter)
    }

    fn each(mut self, change: impl Fn(AnyAdapter) -> AnyAdapter) -> Self {
        self.0 = self
            .0
            .into_iter()
            .map(|named| NamedAdapter {
                adapter: change(named.adapter),
                ..named
            })
            .collect();
        self
    }
}

impl Module for AdapterSet {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.iter().fold(devices, |devices, named| {
            named.adapter.collect_devices(devices)
        })
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|adapter| adapter.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|adapter| adapter.to_device(device))
    }

    fn train(self) -> Self {
        self.each(Module::train)
    }

    fn valid(&self) -> Self {
        self.clone().each(|adapter| adapter.valid())
    }

    fn materialize(self) -> Self {
        self.each(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for named in &self.0 {
            visitor.enter_module(&named.name, "Adapter");
            named.adapter.visit(visitor);
            visitor.exit_module(&named.name, "Adapter");
        }
    }

    fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        self.0 = self
            .0
            .into_iter()
            .map(|named| {
                mapper.enter_module(&named.name, "Adapter");
                let adapter = named.adapter.map(mapper);
                mapper.exit_module(&named.name, "Adapter");
                NamedAdapter { adapter, ..named }
            })
            .collect();
        self
    }
}

impl ModuleDisplayDefault for AdapterSet {
    fn content(&self, content: Content) -> Option<Content> {
        Some(content)
    }
}

impl ModuleDisplay for AdapterSet {}

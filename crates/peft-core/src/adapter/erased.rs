//! The type-erased adapter: one slot holds any method's state and still is a Burn module.
//!
//! Burn's visitors and mappers have methods generic over the rank, so they cannot be trait objects. The bridge
//! erases each parameter to `dyn Any` on the way out of the concrete adapter and restores its rank on the other side.

mod bridge;

use std::any::Any;
use std::fmt::Debug;

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{DType, Device, Int, Tensor};

use crate::adapter::{Adapter, BaseLinear, Fact, FactorPair, TensorName, cast};
use crate::pass::Pass;
use bridge::{
    EraseMapper, EraseVisitor, ErasedMapper, ErasedVisitor, RestoreMapper, RestoreVisitor,
};

/// Any method's adapter for one site.
#[derive(Debug)]
pub struct AnyAdapter(Box<dyn Erased>);

impl Clone for AnyAdapter {
    fn clone(&self) -> Self {
        Self(self.0.clone_erased())
    }
}

impl AnyAdapter {
    /// Erases the type of `adapter`.
    pub fn new<A: Adapter>(adapter: A) -> Self {
        Self(Box::new(adapter))
    }

    /// The concrete adapter, if it is of type `A`.
    #[must_use]
    pub fn downcast_ref<A: Adapter>(&self) -> Option<&A> {
        self.0.as_any().downcast_ref()
    }

    /// See [`Adapter::tensors`].
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorName> {
        self.0.tensors()
    }

    /// See [`Adapter::delta`].
    #[must_use]
    pub fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        self.0.delta(x, product, base, pass)
    }

    /// See [`Adapter::forward`].
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        self.0.forward(x, base, pass)
    }

    /// See [`Adapter::effective_weight`]; computed in f32, the type of the adapter's values, and given in the type of `weight`.
    ///
    /// # Errors
    /// The reason, when no single weight reproduces the adapter.
    pub fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let stored = weight.dtype();
        let effective = self.0.effective_weight(cast(weight, DType::F32))?;
        Ok(cast(effective, stored))
    }

    /// See [`Adapter::replaces_base`].
    #[must_use]
    pub fn replaces_base(&self) -> bool {
        self.0.replaces_base()
    }

    /// See [`Adapter::effective_bias`]; computed in f32 and given in the type of `bias`.
    #[must_use]
    pub fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        let stored = bias.dtype();
        cast(self.0.effective_bias(cast(bias, DType::F32)), stored)
    }

    /// See [`Adapter::needs_bias`].
    #[must_use]
    pub fn needs_bias(&self) -> bool {
        self.0.needs_bias()
    }

    /// See [`Adapter::lookup`].
    #[must_use]
    pub fn lookup(&self, ids: Tensor<1, Int>, base: &BaseLinear<'_>) -> Option<Tensor<2>> {
        self.0.lookup(ids, base)
    }

    /// See [`Adapter::stored`].
    #[must_use]
    pub fn stored(&self) -> Option<Self> {
        self.0.stored()
    }

    /// See [`Adapter::restored`].
    #[must_use]
    pub fn restored(&self, stored: &Self) -> Self {
        Self(self.0.restored_erased(stored))
    }

    /// See [`Adapter::check_base`].
    ///
    /// # Errors
    /// What does not belong together.
    pub fn check_base(&self, base: &BaseLinear<'_>) -> Result<(), String> {
        self.0.check_base(base)
    }

    /// See [`Adapter::facts`].
    #[must_use]
    pub fn facts(&self, weight: Tensor<2>) -> Vec<Fact> {
        self.0.facts(weight)
    }

    /// See [`Adapter::low_rank`].
    #[must_use]
    pub fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        self.0.low_rank()
    }

    /// See [`Adapter::pairs`].
    #[must_use]
    pub fn pairs(&self) -> Vec<FactorPair> {
        self.0.pairs()
    }
}

impl Module for AnyAdapter {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.collect_devices_erased(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self(self.0.fork_erased(device))
    }

    fn to_device(self, device: &Device) -> Self {
        Self(self.0.to_device_erased(device))
    }

    fn train(self) -> Self {
        Self(self.0.train_erased())
    }

    fn valid(&self) -> Self {
        Self(self.0.valid_erased())
    }

    fn materialize(self) -> Self {
        Self(self.0.materialize_erased())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit_erased(&mut RestoreVisitor(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_erased(&mut RestoreMapper(mapper)))
    }
}

impl ModuleDisplayDefault for AnyAdapter {
    fn content(&self, content: Content) -> Option<Content> {
        Some(content)
    }
}

impl ModuleDisplay for AnyAdapter {}

trait Erased: Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn clone_erased(&self) -> Box<dyn Erased>;
    fn tensors(&self) -> Vec<TensorName>;
    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2>;
    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2>;
    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str>;
    fn replaces_base(&self) -> bool;
    fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1>;
    fn needs_bias(&self) -> bool;
    fn lookup(&self, ids: Tensor<1, Int>, base: &BaseLinear<'_>) -> Option<Tensor<2>>;
    fn facts(&self, weight: Tensor<2>) -> Vec<Fact>;
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)>;
    fn pairs(&self) -> Vec<FactorPair>;
    fn stored(&self) -> Option<AnyAdapter>;
    fn restored_erased(&self, stored: &AnyAdapter) -> Box<dyn Erased>;
    fn check_base(&self, base: &BaseLinear<'_>) -> Result<(), String>;
    fn collect_devices_erased(&self, devices: Devices) -> Devices;
    fn fork_erased(self: Box<Self>, device: &Device) -> Box<dyn Erased>;
    fn to_device_erased(self: Box<Self>, device: &Device) -> Box<dyn Erased>;
    fn train_erased(self: Box<Self>) -> Box<dyn Erased>;
    fn valid_erased(&self) -> Box<dyn Erased>;
    fn materialize_erased(self: Box<Self>) -> Box<dyn Erased>;
    fn visit_erased(&self, visitor: &mut dyn ErasedVisitor);
    fn map_erased(self: Box<Self>, mapper: &mut dyn ErasedMapper) -> Box<dyn Erased>;
}

impl<A: Adapter> Erased for A {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn clone_erased(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }
    fn tensors(&self) -> Vec<TensorName> {
        Adapter::tensors(self)
    }
    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        Adapter::delta(self, x, product, base, pass)
    }
    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        Adapter::forward(self, x, base, pass)
    }
    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Adapter::effective_weight(self, weight)
    }
    fn replaces_base(&self) -> bool {
        Adapter::replaces_base(self)
    }
    fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        Adapter::effective_bias(self, bias)
    }
    fn needs_bias(&self) -> bool {
        Adapter::needs_bias(self)
    }
    fn lookup(&self, ids: Tensor<1, Int>, base: &BaseLinear<'_>) -> Option<Tensor<2>> {
        Adapter::lookup(self, ids, base)
    }
    fn facts(&self, weight: Tensor<2>) -> Vec<Fact> {
        Adapter::facts(self, weight)
    }
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        Adapter::low_rank(self)
    }
    fn pairs(&self) -> Vec<FactorPair> {
        Adapter::pairs(self)
    }
    fn stored(&self) -> Option<AnyAdapter> {
        Adapter::stored(self)
    }
    fn restored_erased(&self, stored: &AnyAdapter) -> Box<dyn Erased> {
        Box::new(Adapter::restored(self, stored))
    }
    fn check_base(&self, base: &BaseLinear<'_>) -> Result<(), String> {
        Adapter::check_base(self, base)
    }
    fn collect_devices_erased(&self, devices: Devices) -> Devices {
        Module::collect_devices(self, devices)
    }
    fn fork_erased(self: Box<Self>, device: &Device) -> Box<dyn Erased> {
        Box::new(Module::fork(*self, device))
    }
    fn to_device_erased(self: Box<Self>, device: &Device) -> Box<dyn Erased> {
        Box::new(Module::to_device(*self, device))
    }
    fn train_erased(self: Box<Self>) -> Box<dyn Erased> {
        Box::new(Module::train(*self))
    }
    fn valid_erased(&self) -> Box<dyn Erased> {
        Box::new(Module::valid(self))
    }
    fn materialize_erased(self: Box<Self>) -> Box<dyn Erased> {
        Box::new(Module::materialize(*self))
    }
    fn visit_erased(&self, visitor: &mut dyn ErasedVisitor) {
        Module::visit(self, &mut EraseVisitor(visitor));
    }
    fn map_erased(self: Box<Self>, mapper: &mut dyn ErasedMapper) -> Box<dyn Erased> {
        Box::new(Module::map(*self, &mut EraseMapper(mapper)))
    }
}

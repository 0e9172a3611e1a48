//! Visitors and mappers across the type erasure: each parameter is erased to `dyn Any` on one side and gets its rank back on
//! the other.

use std::any::Any;

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Int, Tensor};

pub(super) trait ErasedVisitor {
    fn float(&mut self, param: &dyn Any);
    fn int(&mut self, param: &dyn Any);
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

pub(super) trait ErasedMapper {
    fn float(&mut self, param: Box<dyn Any>) -> Box<dyn Any>;
    fn int(&mut self, param: Box<dyn Any>) -> Box<dyn Any>;
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

const SAME_RANK: &str = "a mapper returns a parameter of the rank it was given";
const RANKS: &str = "an adapter's parameters have rank 1 to 4";

pub(super) struct EraseVisitor<'a>(pub(super) &'a mut dyn ErasedVisitor);

impl ModuleVisitor for EraseVisitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.float(param);
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.int(param);
    }
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.0.enter(name, container_type);
    }
    fn exit_module(&mut self, name: &str, container_type: &str) {
        self.0.exit(name, container_type);
    }
}

pub(super) struct EraseMapper<'a>(pub(super) &'a mut dyn ErasedMapper);

impl ModuleMapper for EraseMapper<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let mapped = self.0.float(Box::new(param));
        *mapped.downcast().expect(SAME_RANK)
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let mapped = self.0.int(Box::new(param));
        *mapped.downcast().expect(SAME_RANK)
    }
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.0.enter(name, container_type);
    }
    fn exit_module(&mut self, name: &str, container_type: &str) {
        self.0.exit(name, container_type);
    }
}

pub(super) struct RestoreVisitor<'a, V>(pub(super) &'a mut V);

impl<V: ModuleVisitor> RestoreVisitor<'_, V> {
    fn try_rank<const D: usize>(&mut self, param: &dyn Any) -> bool {
        let found = param.downcast_ref::<Param<Tensor<D>>>();
        if let Some(param) = found {
            self.0.visit_float(param);
        }
        found.is_some()
    }

    fn try_int<const D: usize>(&mut self, param: &dyn Any) -> bool {
        let found = param.downcast_ref::<Param<Tensor<D, Int>>>();
        if let Some(param) = found {
            self.0.visit_int(param);
        }
        found.is_some()
    }
}

impl<V: ModuleVisitor> ErasedVisitor for RestoreVisitor<'_, V> {
    fn float(&mut self, param: &dyn Any) {
        let known = self.try_rank::<1>(param)
            || self.try_rank::<2>(param)
            || self.try_rank::<3>(param)
            || self.try_rank::<4>(param);
        assert!(known, "{RANKS}");
    }
    fn int(&mut self, param: &dyn Any) {
        let known = self.try_int::<1>(param)
            || self.try_int::<2>(param)
            || self.try_int::<3>(param)
            || self.try_int::<4>(param);
        assert!(known, "{RANKS}");
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

pub(super) struct RestoreMapper<'a, M>(pub(super) &'a mut M);

impl<M: ModuleMapper> RestoreMapper<'_, M> {
    fn try_rank<const D: usize>(
        &mut self,
        param: Box<dyn Any>,
    ) -> Result<Box<dyn Any>, Box<dyn Any>> {
        let param = param.downcast::<Param<Tensor<D>>>()?;
        Ok(Box::new(self.0.map_float(*param)))
    }

    fn try_int<const D: usize>(
        &mut self,
        param: Box<dyn Any>,
    ) -> Result<Box<dyn Any>, Box<dyn Any>> {
        let param = param.downcast::<Param<Tensor<D, Int>>>()?;
        Ok(Box::new(self.0.map_int(*param)))
    }
}

impl<M: ModuleMapper> ErasedMapper for RestoreMapper<'_, M> {
    fn float(&mut self, param: Box<dyn Any>) -> Box<dyn Any> {
        self.try_rank::<1>(param)
            .or_else(|param| self.try_rank::<2>(param))
            .or_else(|param| self.try_rank::<3>(param))
            .or_else(|param| self.try_rank::<4>(param))
            .expect(RANKS)
    }
    fn int(&mut self, param: Box<dyn Any>) -> Box<dyn Any> {
        self.try_int::<1>(param)
            .or_else(|param| self.try_int::<2>(param))
            .or_else(|param| self.try_int::<3>(param))
            .or_else(|param| self.try_int::<4>(param))
            .expect(RANKS)
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

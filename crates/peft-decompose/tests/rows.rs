//! An adapter may be given any part of a batch: rows are independent, and there may be one or none.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::module::Module;
use burn::tensor::Device;
use peft_core::testing::tiny;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::{Method, Pass};
use peft_decompose::Side;
use peft_decompose::bora::{Bora, Order};
use peft_decompose::dora::Dora;
use peft_decompose::milora::Milora;
use peft_decompose::olora::Olora;
use peft_decompose::pissa::Pissa;
use peft_decompose::svfit::Svfit;

use peft_core::testing::case::host;
use support::moved;

#[test]
fn every_part_of_a_batch_gives_its_rows_of_the_whole() {
    let methods: [Box<dyn Method>; 8] = [
        Box::new(Dora::default()),
        Box::new(Dora {
            axis: Side::Input,
            ..Dora::default()
        }),
        Box::new(Bora::default()),
        Box::new(Bora {
            order: Order::ColumnsFirst,
            ..Bora::default()
        }),
        Box::new(Svfit::default()),
        Box::new(Pissa::default()),
        Box::new(Olora::default()),
        Box::new(Milora::default()),
    ];
    const ROWS: usize = 40;
    for method in methods {
        let device = Device::default();
        let (model, _) = moved(method.as_ref(), &device);
        let model = model.valid();
        let (layer, x) = (model.up(), tiny::inputs(ROWS, &device));
        let (base, adapter) = (layer.base(), layer.adapter("default").unwrap());
        let d_out = layer.site().d_out;
        let whole = {
            let product = base.product(x.clone());
            host(adapter.delta(x.clone(), &product, &base, &mut Pass::eval()))
        };
        let forward = host(layer.forward(x.clone(), &mut Pass::eval()));
        for part in [0..ROWS, 3..4, 7..30, 5..5] {
            let rows = x.clone().slice([part.clone(), 0..tiny::WIDTHS[0]]);
            let product = base.product(rows.clone());
            let delta = adapter.delta(rows.clone(), &product, &base, &mut Pass::eval());
            assert_eq!(delta.dims(), [part.len(), d_out], "{method:?}");
            let expected = &whole[part.start * d_out..part.end * d_out];
            assert_close("delta", &host(delta), expected, MATMUL);
            let y = layer.forward(rows, &mut Pass::eval());
            let expected = &forward[part.start * d_out..part.end * d_out];
            assert_close("forward", &host(y), expected, MATMUL);
        }
    }
}

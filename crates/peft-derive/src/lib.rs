//! `#[derive(Adaptable)]`: a struct or an enum of Burn modules whose linear layers can carry adapters.
#![doc = include_str!("../README.md")]

mod fields;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn3::spanned::Spanned;
use syn3::{DeriveInput, parse_macro_input, parse_quote};

use fields::{Arm, Part, arms, is_used};

/// Implements `peft_core::Adaptable` for a struct or an enum; derive Burn's `Module` beside it.
///
/// On fields:
/// - `#[adaptable(skip)]`: nothing in it is to be adapted. Fields with `#[module(skip)]` are no modules and are skipped anyway.
/// - `#[adaptable(head)]`: an output layer, which the target `all-linear` leaves out, as PEFT does.
#[proc_macro_derive(Adaptable, attributes(adaptable))]
pub fn adaptable(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let implementation = implementation(input);
    implementation
        .unwrap_or_else(syn3::Error::into_compile_error)
        .into()
}

fn implementation(mut input: DeriveInput) -> syn3::Result<TokenStream> {
    let arms = arms(&input.data)?;
    let parts = || arms.iter().flat_map(|arm| &arm.parts);
    let generic: Vec<_> = input.generics.type_params().cloned().collect();
    for parameter in generic {
        let name = &parameter.ident;
        if parts().any(|part| is_used(name, &part.field.ty)) {
            let bounded = input.generics.make_where_clause();
            bounded
                .predicates
                .push(parse_quote!(#name: ::peft_core::Adaptable + burn::module::ModuleDisplay));
        }
    }
    let methods = methods(&arms);
    let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::peft_core::Adaptable for #name #arguments #bounds {
            #methods
        }
    })
}

fn methods(arms: &[Arm]) -> TokenStream {
    let visits = each(arms, |part| call(part, "visit_linears", &quote!(visit)));
    let visits_mut = each(arms, |part| call(part, "visit_linears_mut", &quote!(visit)));
    let unties = each(arms, |part| call(part, "untie", &quote!()));
    let resizes = each(arms, |part| {
        call(part, "resize_vocabulary", &quote!(tokens))
    });
    let heads = joined(arms, |part| match part.is_head {
        true => {
            let sites = call(part, "sites", &quote!());
            quote!(#sites.into_iter().map(|site| site.path).collect())
        }
        false => call(part, "output_heads", &quote!()),
    });
    let tables = joined(arms, |part| call(part, "vocabulary_layers", &quote!()));
    let tied = matched(arms, |parts| {
        let tied = parts.iter().map(|part| call(part, "tied", &quote!()));
        quote!(::core::option::Option::None #(.or_else(|| #tied))*)
    });
    quote! {
        fn visit_linears(&self, visit: &mut dyn FnMut(&::peft_core::AdaptedLinear)) { #visits }
        fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut ::peft_core::AdaptedLinear)) { #visits_mut }
        fn output_heads(&self) -> ::std::vec::Vec<::std::string::String> { #heads }
        fn tied(&self) -> ::core::option::Option<::peft_core::TiedOutput> { #tied }
        fn untie(&mut self) { #unties }
        fn vocabulary_layers(&self) -> ::std::vec::Vec<::std::string::String> { #tables }
        fn resize_vocabulary(&mut self, tokens: usize) { let _ = tokens; #resizes }
    }
}

/// `Adaptable::method(field, arguments)`; what does not compile about it is said of the field's type.
fn call(part: &Part, method: &str, arguments: &TokenStream) -> TokenStream {
    let (binding, span) = (&part.binding, part.field.ty.span());
    let method = proc_macro2::Ident::new(method, proc_macro2::Span::call_site());
    let comma = (!arguments.is_empty()).then(|| quote!(,));
    quote_spanned!(span => ::peft_core::Adaptable::#method(#binding #comma #arguments))
}

/// One statement for each part.
fn each(arms: &[Arm], statement: impl Fn(&Part) -> TokenStream) -> TokenStream {
    matched(arms, |parts| {
        let statements = parts.iter().map(&statement);
        quote!({ #(#statements;)* })
    })
}

/// The lists of all parts in one.
fn joined(arms: &[Arm], list: impl Fn(&Part) -> TokenStream) -> TokenStream {
    matched(arms, |parts| {
        let lists = parts.iter().map(&list);
        quote!(<[::std::vec::Vec<::std::string::String>]>::concat(&[#(#lists),*]))
    })
}

fn matched(arms: &[Arm], body: impl Fn(&[Part]) -> TokenStream) -> TokenStream {
    let arms = arms.iter().map(|arm| {
        let (pattern, body) = (&arm.pattern, body(&arm.parts));
        quote!(#pattern => #body)
    });
    quote!(match self { #(#arms),* })
}

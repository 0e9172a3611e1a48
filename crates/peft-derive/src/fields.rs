//! What the derive macro reads of a type: its parts, variant by variant.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn3::{Data, Error, Field, Fields, Member};

/// A struct, or one variant of an enum.
pub(crate) struct Arm {
    /// Binds every part.
    pub(crate) pattern: TokenStream,
    /// Fields that are visited, in their order.
    pub(crate) parts: Vec<Part>,
}

/// A field that is visited.
pub(crate) struct Part {
    /// What the pattern calls it.
    pub(crate) binding: Ident,
    pub(crate) field: Field,
    /// Whether its layers are output layers.
    pub(crate) is_head: bool,
}

/// The arms of a match over the type.
pub(crate) fn arms(data: &Data) -> syn3::Result<Vec<Arm>> {
    match data {
        Data::Struct(data) => Ok(vec![arm(&quote!(Self), &data.fields)?]),
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| {
                let name = &variant.ident;
                arm(&quote!(Self::#name), &variant.fields)
            });
            arms.collect()
        }
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "a union is no Burn module, and so cannot be adapted",
        )),
    }
}

fn arm(path: &TokenStream, fields: &Fields) -> syn3::Result<Arm> {
    let mut parts = Vec::new();
    let mut bound = Vec::new();
    for (index, (field, member)) in fields.iter().zip(fields.members()).enumerate() {
        let role = role(field)?;
        if let Role::Skipped = role {
            continue;
        }
        let binding = format_ident!("part_{index}");
        bound.push(binds(&member, &binding));
        parts.push(Part {
            binding,
            field: field.clone(),
            is_head: matches!(role, Role::Head),
        });
    }
    Ok(Arm {
        pattern: quote!(#path { #(#bound,)* .. }),
        parts,
    })
}

fn binds(member: &Member, binding: &Ident) -> TokenStream {
    quote!(#member: #binding)
}

enum Role {
    Part,
    Head,
    Skipped,
}

/// What the attributes of a field say.
fn role(field: &Field) -> syn3::Result<Role> {
    let mut role = Role::Part;
    for attribute in &field.attrs {
        let is_own = attribute.path().is_ident("adaptable");
        if !is_own && !attribute.path().is_ident("module") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                role = Role::Skipped;
            } else if is_own && meta.path.is_ident("head") {
                role = Role::Head;
            } else if is_own {
                return Err(meta.error("expected `skip` or `head`"));
            }
            Ok(())
        })?;
    }
    Ok(role)
}

/// Whether a type mentions a name.
pub(crate) fn is_used(name: &Ident, by: &impl ToTokens) -> bool {
    fn within(name: &Ident, tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(found) => found == *name,
            TokenTree::Group(group) => within(name, group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    within(name, by.to_token_stream())
}

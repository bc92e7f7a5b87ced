//! Structs read by hand. Generated code takes a field's type on trust: an
//! integer where a list of hosts belongs would be read as an empty list.

use thrift::protocol::{TInputProtocol, TType};
use thrift::{ProtocolError, ProtocolErrorKind};

type OnField<'a> = &'a mut dyn FnMut(i16, TType, &mut dyn TInputProtocol) -> thrift::Result<()>;

/// Hands over each field of a struct; the callee reads its value.
pub(super) fn each_field(
    from: &mut dyn TInputProtocol,
    on_field: OnField<'_>,
) -> thrift::Result<()> {
    from.read_struct_begin()?;
    loop {
        let field = from.read_field_begin()?;
        if field.field_type == TType::Stop {
            break;
        }
        on_field(field.id.unwrap_or_default(), field.field_type, from)?;
        from.read_field_end()?;
    }
    from.read_struct_end()
}

/// Calls back for each element of a list of this type.
pub(super) fn each_element(
    from: &mut dyn TInputProtocol,
    wanted: TType,
    on_element: &mut dyn FnMut(&mut dyn TInputProtocol) -> thrift::Result<()>,
) -> thrift::Result<()> {
    let list = from.read_list_begin()?;
    if list.size > 0 {
        expect("an element", wanted, list.element_type)?;
    }
    for _ in 0..list.size {
        on_element(from)?;
    }
    from.read_list_end()
}

pub(super) fn expect(what: &str, wanted: TType, found: TType) -> thrift::Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(invalid(format!("{what} is of type {found}, not {wanted}")))
}

pub(super) fn invalid(message: String) -> thrift::Error {
    ProtocolError::new(ProtocolErrorKind::InvalidData, message).into()
}

use super::*;

#[test]
fn addresses_survive_the_way_through_socket_addresses() {
    for side in [Side::Near, Side::Far] {
        for (flow, binding) in [(0, 0), (1, 3), (70_000, 40_000)] {
            let original = Address { flow, side, binding };
            assert_eq!(address(socket_address(original)), Some(original));
        }
    }
    assert_eq!(address("[::1]:33001".parse().unwrap()), None);
}

//! What is answered, in every role.
#![forbid(unsafe_code)]

use super::*;
use crate::wire::{Tlv, Tlvs};

use MessageType::{DelayReq, DelayResp, PdelayReq, PdelayResp, PdelayRespFollowUp, Signaling};

/// One world in each role: listening, following, leading by the election, leading by order.
fn in_every_role() -> [World; 4] {
    let mut listening = World::new(RolePolicy::Auto);
    listening.run(300 * MS);
    let following = World::locked(RolePolicy::Auto);
    let mut leading = World::new(RolePolicy::Auto);
    leading.run(4 * SECOND);
    let mut ordered = World::new(RolePolicy::Lead);
    ordered.run(4 * SECOND);
    let mut worlds = [listening, following, leading, ordered];
    let roles = worlds.each_ref().map(|world| world.association.role());
    assert_eq!(roles, [Role::Listening, Role::Following, Role::Leading, Role::Leading]);
    worlds.iter_mut().for_each(World::forget);
    worlds
}

fn request(body: Body) -> Message {
    let mut message = Receiver::homepod().message(0xabcd, 0, body);
    message.header.source = PortIdentity { clock: APPLE_TV, port: 0x8010 };
    message
}

#[test]
fn delay_req_is_answered_in_every_role() {
    for mut world in in_every_role() {
        let role = world.association.role();
        let ask = wire::encode(&request(Body::DelayReq { origin: Timestamp::default() }));
        let arrived = world.now - 300 * US;
        let packet = Packet { bytes: &ask, peer: 0, received: at(arrived) };
        world.association.receive(packet, at(world.now));
        world.flush();
        assert_eq!(world.sent_kinds(), [DelayResp], "{role:?}");
        let answer = &world.sent[0];
        assert_eq!((answer.port, answer.peer), (Port::General, 0));
        assert_eq!(answer.bytes.len(), 54);
        let header = answer.message.header;
        assert_eq!((header.sequence_id, header.correction), (0xabcd, Correction::ZERO));
        let Body::DelayResp { receive, requesting } = answer.message.body else { unreachable!() };
        assert_eq!(receive, stamp(arrived + SERVED));
        assert_eq!(requesting, PortIdentity { clock: APPLE_TV, port: 0x8010 });
        assert_eq!(world.association.counters().delay_req_answered, 1);
        assert_eq!(world.association.role(), role);
        assert_eq!(world.association.counters().sent(DelayResp), 1);
        assert_eq!(world.association.counters().received(DelayReq), 1);
    }
}

#[test]
fn answers_go_to_the_address_that_asked() {
    let mut world = World::with(Config { peers: 3, ..config(RolePolicy::Lead) });
    world.run(SECOND);
    world.forget();
    let ask = request(Body::DelayReq { origin: Timestamp::default() });
    for peer in [2, 0, 1] {
        world.hear_from(peer, &ask);
    }
    let answered: Vec<u8> = world.sent_of(DelayResp).iter().map(|sent| sent.peer).collect();
    assert_eq!(answered, [2, 0, 1]);
}

#[test]
fn pdelay_req_is_answered_in_every_role() {
    for mut world in in_every_role() {
        let arrived = world.now;
        world.hear(&request(Body::PdelayReq { origin: Timestamp::default() }));
        assert_eq!(world.sent_kinds(), [PdelayResp, PdelayRespFollowUp]);
        assert_eq!((world.sent[0].port, world.sent[1].port), (Port::Event, Port::General));
        let Body::PdelayResp { receipt, requesting } = world.sent[0].message.body else { unreachable!() };
        assert_eq!(receipt, stamp(arrived + SERVED));
        assert_eq!(requesting, PortIdentity { clock: APPLE_TV, port: 0x8010 });
        let Body::PdelayRespFollowUp { origin, requesting } = world.sent[1].message.body else {
            unreachable!()
        };
        assert_eq!(origin, stamp(arrived + SEND_TAKES + SERVED));
        assert_eq!(requesting, PortIdentity { clock: APPLE_TV, port: 0x8010 });
        assert!(world.sent.iter().all(|sent| sent.message.header.sequence_id == 0xabcd));
        assert_eq!(world.association.counters().received(PdelayReq), 1);
    }
}

#[test]
fn unicast_requests_are_granted() {
    for mut world in in_every_role() {
        let wanted = [(0xb_u8, 1_i8, 300_u32), (0x0, -3, 60), (0x9, -3, 60)];
        let tlvs: Tlvs = wanted
            .iter()
            .map(|&(message_type, log_interval, duration_s)| Tlv::RequestUnicast {
                message_type,
                log_interval,
                duration_s,
            })
            .collect();
        world.hear(&request(Body::Signaling { target: OURS, tlvs }));
        assert_eq!(world.sent_kinds(), [Signaling]);
        assert_eq!(world.sent[0].port, Port::General);
        let Body::Signaling { target, tlvs } = world.sent[0].message.body else { unreachable!() };
        assert_eq!(target, PortIdentity { clock: APPLE_TV, port: 0x8010 });
        let granted: Vec<Tlv> = tlvs.iter().copied().collect();
        let expected = wanted.map(|(message_type, log_interval, duration_s)| Tlv::GrantUnicast {
            message_type,
            log_interval,
            duration_s,
            renewal: true,
        });
        assert_eq!(granted, expected);
    }
}

#[test]
fn other_signaling_is_heard_and_not_answered() {
    for mut world in in_every_role() {
        let tlvs: Tlvs = std::iter::once(Tlv::AppleSubtype1([7; 16])).collect();
        world.hear(&request(Body::Signaling { target: PortIdentity::ZERO, tlvs }));
        assert!(world.sent.is_empty());
        assert_eq!(world.association.counters().received(Signaling), 1);
    }
}

#[test]
fn who_only_asks_is_known_but_not_listened_to() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.hear(&request(Body::DelayReq { origin: Timestamp::default() }));
    assert_eq!(world.state(), (Role::Listening, SyncState::Silent));
    assert_eq!(world.timeline().receiver_clock_id, APPLE_TV.0);
    world.run(3 * SECOND);
    assert_eq!(world.association.role(), Role::Leading);
    // Then the receiver itself announces: it is the one.
    world.hear_announce();
    assert_eq!(world.timeline().receiver_clock_id, HOMEPOD.clock.0);
}

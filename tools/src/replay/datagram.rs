//! Frames to UDP datagrams: link layers, IPv4 and IPv6.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A UDP datagram; `payload` is shorter than it was where the capture cut it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender's address.
    pub from: IpAddr,
    /// The address it was sent to.
    pub to: IpAddr,
    /// The port it was sent to.
    pub port: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Tags that come before the next EtherType: 802.1Q, 802.1ad, and its forerunner.
const ETHERTYPE_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Tags read at most: two are in use.
const MAX_TAGS: usize = 4;
/// IPv6 extension headers read at most: each kind comes once (RFC 8200, 4.1).
const MAX_EXTENSIONS: usize = 8;
const PROTOCOL_UDP: u8 = 17;

/// The UDP datagram in a frame of a LINKTYPE (tcpdump.org/linktypes.html): whole, or the first of its fragments.
pub fn udp(link: i32, frame: &[u8]) -> Option<Datagram<'_>> {
    match link {
        // NULL and LOOP: an address family in the capturing host's byte order, of many values. The IP version tells.
        0 | 108 => ip(frame.get(4..)?),
        1 => tagged(be16(frame, 12)?, frame.get(14..)?),
        // RAW in its various numbers, IPV4, IPV6.
        12 | 14 | 101 | 228 | 229 => ip(frame),
        // Linux cooked, of either version: what `-i any` gives.
        113 => tagged(be16(frame, 14)?, frame.get(16..)?),
        276 => tagged(be16(frame, 0)?, frame.get(20..)?),
        _ => None,
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*field))
}

/// What follows an EtherType, behind any tags.
fn tagged(mut ethertype: u16, mut rest: &[u8]) -> Option<Datagram<'_>> {
    for _ in 0..MAX_TAGS {
        match ethertype {
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => return ip(rest),
            tag if ETHERTYPE_TAGS.contains(&tag) => {
                ethertype = be16(rest, 2)?;
                rest = rest.get(4..)?;
            }
            _ => return None,
        }
    }
    None
}

fn ip(packet: &[u8]) -> Option<Datagram<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Datagram<'_>> {
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    let header = packet.get(..20)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    if length < 20 || be16(header, 6)? & FRAGMENT_OFFSET != 0 || header[9] != PROTOCOL_UDP {
        return None;
    }
    let address = |at| Some(IpAddr::V4(Ipv4Addr::from(*header.get(at..)?.first_chunk::<4>()?)));
    datagram(address(12)?, address(16)?, packet.get(length..)?)
}

fn ipv6(packet: &[u8]) -> Option<Datagram<'_>> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    const FRAGMENT_OFFSET: u16 = 0xfff8;
    let (header, mut rest) = packet.split_at_checked(40)?;
    let address = |at| Some(IpAddr::V6(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?)));
    let mut next = header[6];
    for _ in 0..MAX_EXTENSIONS {
        let length = match next {
            PROTOCOL_UDP => return datagram(address(8)?, address(24)?, rest),
            HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(*rest.get(1)?) + 1) * 8,
            FRAGMENT if be16(rest, 2)? & FRAGMENT_OFFSET == 0 => 8,
            _ => return None,
        };
        next = *rest.first()?;
        rest = rest.get(length..)?;
    }
    None
}

fn datagram(from: IpAddr, to: IpAddr, udp: &[u8]) -> Option<Datagram<'_>> {
    /// Bytes of UDP's header.
    const HEADER: usize = 8;
    let (port, length) = (be16(udp, 2)?, usize::from(be16(udp, 4)?));
    let payload = udp.get(HEADER..)?;
    // Short frames are padded; a length of zero stands for a long one.
    let payload = match length.checked_sub(HEADER) {
        Some(length) => payload.get(..length).unwrap_or(payload),
        None if length == 0 => payload,
        None => return None,
    };
    Some(Datagram { from, to, port, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: [u8; 12] = [0x01, 0x40, 0x01, 0x3f, 0, 11, 0, 0, 0xaa, 0xbb, 0xcc, 0xee];

    fn ipv4_packet(udp: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 1, 20, 192, 168, 1, 2];
        packet.extend(udp);
        packet
    }

    fn ipv6_packet(extensions: &[u8], first: u8, udp: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 11, first, 64];
        packet.extend("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("fe80::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(extensions);
        packet.extend(udp);
        packet
    }

    fn expected(from: &str, to: &str) -> Option<Datagram<'static>> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        // The fourth byte is padding: the length says three.
        Some(Datagram { from, to, port: 319, payload: &[0xaa, 0xbb, 0xcc] })
    }

    fn framed(head: &[u8], packet: &[u8]) -> Vec<u8> {
        [head, packet].concat()
    }

    #[test]
    fn every_link_layer_is_seen_through() {
        let (v4, v6) = (ipv4_packet(&UDP), ipv6_packet(&[], 17, &UDP));
        let from_v4 = expected("192.168.1.20", "192.168.1.2");
        let from_v6 = expected("fe80::1", "fe80::2");
        for link in [12, 14, 101, 228] {
            assert_eq!(udp(link, &v4), from_v4, "{link}");
        }
        assert_eq!(udp(229, &v6), from_v6);
        assert_eq!(udp(0, &framed(&[2, 0, 0, 0], &v4)), from_v4);
        assert_eq!(udp(108, &framed(&[0, 0, 0, 30], &v6)), from_v6);
        assert_eq!(udp(1, &framed(&[[0; 12].as_slice(), &[8, 0]].concat(), &v4)), from_v4);
        let tagged = [[0; 12].as_slice(), &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 0x86, 0xdd]].concat();
        assert_eq!(udp(1, &framed(&tagged, &v6)), from_v6);
        assert_eq!(udp(113, &framed(&[[0; 14].as_slice(), &[8, 0]].concat(), &v4)), from_v4);
        assert_eq!(udp(276, &framed(&[[0x86, 0xdd].as_slice(), &[0; 18]].concat(), &v6)), from_v6);
        assert_eq!(udp(105, &v4), None);
    }

    #[test]
    fn extension_headers_are_walked_and_later_fragments_left_out() {
        let hop = [17, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(udp(101, &ipv6_packet(&hop, 0, &UDP)), expected("fe80::1", "fe80::2"));
        let first = [17, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(udp(101, &ipv6_packet(&first, 44, &UDP)), expected("fe80::1", "fe80::2"));
        let later = [17, 0, 0, 8, 0, 0, 0, 0];
        assert_eq!(udp(101, &ipv6_packet(&later, 44, &UDP)), None);
        let mut packet = ipv4_packet(&UDP);
        packet[7] = 1;
        assert_eq!(udp(101, &packet), None);
    }

    #[test]
    fn cut_off_frames_give_what_is_left_or_nothing() {
        for packet in [ipv4_packet(&UDP), ipv6_packet(&[17, 0, 0, 0, 0, 0, 0, 0], 0, &UDP)] {
            let whole = udp(101, &packet).unwrap().payload.len();
            for length in 0..packet.len() {
                let left = udp(101, &packet[..length]).map(|datagram| datagram.payload.len());
                let header = packet.len() - 4;
                assert_eq!(left, length.checked_sub(header), "{length} of {whole}");
            }
        }
    }
}

package enclosure

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/earshot-fm/earshot/audio"
)

// PrivateAddress is the code of a refusal to connect inside our own network.
const PrivateAddress = "private-address"

// refused are the ranges that are not the public internet (IANA's registries of
// special-purpose addresses, RFC 6890), cloud metadata services among them.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // inside Azure alone: what a machine gets its settings from
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// globalIPv6 is all that IANA has given out; what lies beyond is local,
// multicast or reserved.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

// translated ranges hold an IPv4 address in their last four bytes (RFC 6052).
var translated = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// isPublic says whether an address is one of the public internet.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" || !a.IsValid() {
		return false
	}
	if translated.Contains(a) {
		b := a.As16()
		return isPublic(netip.AddrFrom4([4]byte(b[12:])))
	}
	if a.Is6() && !globalIPv6.Contains(a) {
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Guard is a net.Dialer.Control that refuses addresses that are not public,
// save those that are allowed. It refuses a connection once the name is an address: only then is it known
// where it leads, and the name cannot change its mind in between.
func Guard(allowed []netip.Prefix) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("enclosure: %q is no address: %w", address, err)
		}
		ip := at.Addr().Unmap()
		for _, p := range allowed {
			if p.Contains(ip) {
				return nil
			}
		}
		if isPublic(ip) {
			return nil
		}
		return &audio.Rejection{Code: PrivateAddress, Detail: "the enclosure's server is at " + ip.String() +
			", which is not a public address (the configuration can allow it)"}
	}
}

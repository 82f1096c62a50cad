package shop

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

var (
	firstNames = strings.Fields("Ada Bela Chidi Dana Emil Farah Goran Hana Ines Jonas Kira Luca Mina Nils Olga Priya Quentin Rosa Samir Tove Uma Viktor Wanda Xenia Yusuf Zoe")
	lastNames  = strings.Fields("Abe Berg Costa Dietrich Eriksen Fuchs Garcia Haddad Ito Jansen Kowalski Lind Moreau Novak Okafor Petrov Quist Rossi Silva Tanaka Ueda Vogel Weber Xu Yilmaz Zhang")
	cities     = strings.Fields("Aarhus Bergen Cork Dresden Evora Florence Ghent Haarlem Innsbruck Jena Krakow Leeds Malmo Nantes Oulu Porto Riga Split Turin Utrecht Vienna Warsaw York Zurich")
	words      = strings.Fields("please leave the parcel with neighbour if nobody is home ring twice at blue door behind garden fragile gift wrapping card says happy birthday from all of us invoice goes to office second floor thank you deliver before noon otherwise call first return old one spare parts included box opened carefully")
	states     = strings.Fields("new paid packed shipped delivered returned")
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func personName(r *rand.Rand) string { return pick(r, firstNames) + " " + pick(r, lastNames) }

func sku(r *rand.Rand) string {
	return fmt.Sprintf("%c%c-%06d", 'A'+r.IntN(26), 'A'+r.IntN(26), r.IntN(1e6))
}

func sentence(b *strings.Builder, r *rand.Rand, n int) {
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pick(r, words))
	}
}

// document is what a shop keeps of an order beside its columns: about 600 bytes of JSON, a third of which is
// chance (tokens, digests, prices) and the rest repeats from order to order, so that a database of them packs about
// threefold.
func document(r *rand.Rand, id int64) string {
	var b strings.Builder
	b.Grow(700)
	b.WriteString(`{"id":` + strconv.FormatInt(id, 10) + `,"session":"`)
	hex(&b, r, 2)
	b.WriteString(`","ship_to":{"name":"` + personName(r) + `","street":"` + pick(r, lastNames) + ` street `)
	b.WriteString(strconv.Itoa(1 + r.IntN(200)))
	b.WriteString(`","zip":"` + strconv.Itoa(10000+r.IntN(90000)) + `","city":"` + pick(r, cities) + `"},"payment":{"method":"card","token":"tok_`)
	hex(&b, r, 3)
	b.WriteString(`","last4":"` + strconv.Itoa(1000+r.IntN(9000)) + `"},"lines":[`)
	for i := range 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"sku":"` + sku(r) + `","quantity":` + strconv.Itoa(1+r.IntN(4)) + `,"cents":` + strconv.Itoa(100+r.IntN(20000)) + `}`)
	}
	b.WriteString(`],"client":{"agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","ip":"10.`)
	b.WriteString(strconv.Itoa(r.IntN(256)) + "." + strconv.Itoa(r.IntN(256)) + "." + strconv.Itoa(r.IntN(256)))
	b.WriteString(`"},"note":"`)
	sentence(&b, r, 6+r.IntN(14))
	b.WriteString(`"}`)
	return b.String()
}

// hex appends n times 16 hexadecimal digits of chance.
func hex(b *strings.Builder, r *rand.Rand, n int) {
	for range n {
		fmt.Fprintf(b, "%016x", r.Uint64())
	}
}

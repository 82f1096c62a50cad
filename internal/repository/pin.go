package repository

import "sync"

// pins keep what is listed of claimed objects, for as long as they are claimed through this Repository.
type pins struct {
	mu      sync.Mutex
	objects map[string]*pin
}

type pin struct {
	object  Object
	segment segmentBody // of a segment
	claims  int
}

// add pins what is listed under a name.
func (p *pins) add(name string, listed pin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects == nil {
		p.objects = map[string]*pin{}
	}
	if p.objects[name] == nil {
		p.objects[name] = &listed
	}
	p.objects[name].claims++
}

func (p *pins) remove(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if p.objects[name].claims--; p.objects[name].claims == 0 {
			delete(p.objects, name)
		}
	}
}

// find returns what is pinned under a name.
func (p *pins) find(name string) (pin, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if found := p.objects[name]; found != nil {
		return *found, true
	}
	return pin{}, false
}

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

// add pins listed objects. It is called while the fold is locked.
func (p *pins) add(f *fold, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects == nil {
		p.objects = map[string]*pin{}
	}
	for _, name := range names {
		if p.objects[name] == nil {
			p.objects[name] = &pin{object: f.objects[name], segment: f.segments[name]}
		}
		p.objects[name].claims++
	}
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

package postgres

import "os"

func memory() int64 { return memoryIn(os.DirFS("/")) }

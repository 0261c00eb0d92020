// franz-go doing one work set: main name=value ...
//
// The same as drive.mjs; callers that wait for one record each are goroutines, as they would be in Go.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const version = "1.22.2"

var arguments = map[string]string{}

func text(name, fallback string) string {
	if value, found := arguments[name]; found {
		return value
	}
	return fallback
}

func number(name string, fallback int) int {
	if value, err := strconv.ParseFloat(arguments[name], 64); err == nil {
		return int(value)
	}
	return fallback
}

var (
	client                *kgo.Client
	values, keys          [][]byte
	sent, settled, failed atomic.Int64
	firstError            atomic.Value
)

func record(i int) *kgo.Record {
	r := &kgo.Record{Value: values[i%len(values)]}
	if len(keys) > 0 {
		r.Key = keys[i%len(keys)]
	}
	return r
}

func report(_ *kgo.Record, err error) {
	if err != nil {
		failed.Add(1)
		firstError.CompareAndSwap(nil, err.Error())
	}
	settled.Add(1)
}

func cpuMs() (user, all float64) {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	user = float64(usage.Utime.Nano()) / 1e6
	return user, user + float64(usage.Stime.Nano())/1e6
}

// Not Getrusage's: that begins with what the process had that started this one.
func maxRssMiB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	match := regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)
	if match == nil {
		return 0
	}
	kib, _ := strconv.ParseFloat(string(match[1]), 64)
	return kib / 1024
}

func transactional() bool { return number("transactional", 0) > 0 }

func begin() {
	if transactional() {
		check(client.BeginTransaction())
	}
}

func commit() {
	if transactional() {
		check(client.EndTransaction(context.Background(), kgo.TryCommit))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func options() []kgo.Opt {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(text("brokers", "")),
		kgo.ClientID("bench"),
		kgo.DefaultProduceTopic(text("topic", "")),
		kgo.ProducerBatchCompression(codecs[text("codec", "none")]),
	}
	if text("acks", "all") == "0" {
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	if transactional() {
		opts = append(opts, kgo.TransactionalID(text("topic", "")))
	}
	if linger := number("linger", -1); linger >= 0 {
		opts = append(opts, kgo.ProducerLinger(time.Duration(linger)*time.Millisecond))
	}
	return opts
}

// readValues reads the values that every client sends.
func readValues(size int) {
	bytes, err := os.ReadFile(text("values", ""))
	if err != nil {
		panic(err)
	}
	for at := 0; at < len(bytes); at += size {
		values = append(values, bytes[at:at+size])
	}
	count := number("keys", 0)
	for i := 0; i < count; i++ {
		keys = append(keys, []byte(fmt.Sprintf("k%09d", i*7919%count)))
	}
}

// batches hands over as many as the batch has and waits for all of them, one batch after the other.
func batches(count, batch int) {
	for done := 0; done < count; done += batch {
		begin()
		var group sync.WaitGroup
		group.Add(batch)
		for i := 0; i < batch; i++ {
			sent.Add(1)
			client.Produce(context.Background(), record(done+i), func(r *kgo.Record, err error) {
				report(r, err)
				group.Done()
			})
		}
		group.Wait()
		commit()
	}
}

// burst never waits for an outcome, but for room in the window if there is one.
func burst(count, window int) {
	var room chan struct{}
	if window > 0 {
		room = make(chan struct{}, window)
	}
	var group sync.WaitGroup
	group.Add(count)
	done := func(r *kgo.Record, err error) {
		report(r, err)
		if room != nil {
			<-room
		}
		group.Done()
	}
	for i := 0; i < count; i++ {
		if room != nil {
			room <- struct{}{}
		}
		sent.Add(1)
		client.Produce(context.Background(), record(i), done)
	}
	group.Wait()
}

func callers(count, callers int) {
	var group sync.WaitGroup
	each := (count + callers - 1) / callers
	for caller := 0; caller < callers; caller++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < each; i++ {
				sent.Add(1)
				report(nil, client.ProduceSync(context.Background(), record(caller+i)).FirstErr())
			}
		}()
	}
	group.Wait()
}

func openLoop(count, perSecond int, result map[string]any) {
	call, due := make([]float64, count), make([]float64, count)
	perMs, begin := float64(perSecond)/1e3, time.Now()
	for i := 0; i < count; {
		at := time.Since(begin).Seconds() * 1e3
		target := min(count, int(at*perMs)+1)
		for ; i < target; i++ {
			index, called := i, time.Now()
			dueAt := begin.Add(time.Duration(int(float64(i)/perMs)) * time.Millisecond)
			sent.Add(1)
			client.Produce(context.Background(), record(i), func(r *kgo.Record, err error) {
				now := time.Now()
				call[index] = now.Sub(called).Seconds() * 1e3
				due[index] = now.Sub(dueAt).Seconds() * 1e3
				report(r, err)
			})
		}
		time.Sleep(time.Until(begin.Add(time.Duration(int(at)+1) * time.Millisecond)))
	}
	waitSettled(30 * time.Second)
	result["latencyMs"], result["latencyFromDueMs"] = percentiles(call), percentiles(due)
}

func percentiles(all []float64) map[string]float64 {
	sort.Float64s(all)
	at := func(share float64) float64 { return all[min(len(all)-1, int(float64(len(all))*share))] }
	return map[string]float64{"p50": at(0.5), "p99": at(0.99), "p999": at(0.999)}
}

func stall(perSecond int, result map[string]any) {
	marks := []struct {
		atMs float64
		line string
	}{{2e3, "@@stop"}, {22e3, "@@continue"}, {24e3, ""}}
	begin, refused := time.Now(), 0
	var continued time.Time
	sentBefore, recoverMs := int64(math.MaxInt64), -1.0
	look := func() {
		if recoverMs < 0 && settled.Load() >= sentBefore {
			recoverMs = time.Since(continued).Seconds() * 1e3
		}
	}
	for marked := 0; ; {
		at := time.Since(begin).Seconds() * 1e3
		if at >= marks[marked].atMs {
			if marks[marked].line == "" {
				break
			}
			fmt.Println(marks[marked].line)
			if marked++; marked == 2 {
				continued, sentBefore = time.Now(), sent.Load()
			}
		}
		for target := int(at * float64(perSecond) / 1e3); int(sent.Load())+refused < target; {
			r := record(int(sent.Load()) + refused)
			r.Value = append([]byte(nil), r.Value...)
			sent.Add(1)
			client.TryProduce(context.Background(), r, func(r *kgo.Record, err error) {
				if err == kgo.ErrMaxBuffered {
					sent.Add(-1)
					refused++ // it is told at once, by this goroutine
					return
				}
				report(r, err)
			})
		}
		time.Sleep(time.Millisecond)
		look()
	}
	for end := time.Now().Add(60 * time.Second); settled.Load() < sent.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		look()
	}
	look()
	result["refused"], result["unsettled"], result["recoverMs"] = refused, sent.Load()-settled.Load(), recoverMs
}

func waitSettled(limit time.Duration) {
	for end := time.Now().Add(limit); settled.Load() < sent.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func main() {
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, "=")
		arguments[name] = value
	}
	kind, count := text("kind", ""), number("count", 1)
	result := map[string]any{"version": version}
	var err error
	if client, err = kgo.NewClient(options()...); err != nil {
		panic(err)
	}
	if kind == "start" {
		values = [][]byte{make([]byte, number("bytes", 100))}
	} else {
		readValues(number("bytes", 100))
	}
	begin()
	check(client.ProduceSync(context.Background(), record(0)).FirstErr())
	commit()
	if kind == "start" {
		spawned, _ := strconv.ParseFloat(text("spawnedMs", "0"), 64)
		_, all := cpuMs()
		print(result, float64(time.Now().UnixMicro())/1e3-spawned, 0, all, 0)
	}

	begin := time.Now()
	userBefore, allBefore := cpuMs()
	switch kind {
	case "awaited":
		batches(count, 1)
	case "batches":
		batches(count, number("batch", 1))
	case "burst":
		burst(count, number("window", 0))
	case "callers":
		callers(count, number("callers", 1))
	case "open-loop":
		openLoop(count, number("perSecond", 1000), result)
	case "stall":
		stall(number("perSecond", 1000), result)
	default:
		panic("no such kind: " + kind)
	}
	elapsed := time.Since(begin).Seconds() * 1e3
	user, all := cpuMs()
	print(result, elapsed, user-userBefore, all-allBefore, 1)
}

// print ends the program; with it goes what is still on its way.
func print(result map[string]any, elapsedMs, userMs, allMs float64, warm int64) {
	result["sent"], result["settled"], result["failed"] = max(1, sent.Load()), settled.Load(), failed.Load()
	result["acknowledged"] = settled.Load() - failed.Load() + 1
	result["elapsedMs"], result["userMs"], result["cpuMs"] = elapsedMs, userMs, allMs
	result["maxRssMiB"] = maxRssMiB()
	if first := firstError.Load(); first != nil {
		result["firstError"] = first
	}
	// With acks 0 the last requests may not have been written yet.
	if warm > 0 {
		client.Flush(context.Background())
		client.Close()
	}
	bytes, _ := json.Marshal(result)
	fmt.Println("@@result " + string(bytes))
	os.Exit(0)
}

// One clip of a scene plays at a time; starting another goes on at the same place, so that before and after can be compared by ear.
"use strict";
for (const sample of document.querySelectorAll(".sample")) {
  const players = [...sample.querySelectorAll("audio")];
  for (const player of players) {
    const picture = player.closest(".stage").querySelector(".picture");
    const head = picture.querySelector(".head");
    const draw = () => {
      head.style.opacity = 1;
      head.style.left = `${(100 * player.currentTime) / (player.duration || 1)}%`;
      if (!player.paused) requestAnimationFrame(draw);
    };
    player.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) {
        if (other === player || other.paused) continue;
        if (players.includes(other) && player.currentTime === 0) player.currentTime = Math.min(other.currentTime, player.duration || 0);
        other.pause();
      }
      draw();
    });
    player.addEventListener("seeked", draw);
    player.addEventListener("ended", () => { player.currentTime = 0; });
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      const share = event.detail === 0 ? 0 : (event.clientX - box.left) / box.width;
      player.currentTime = share * (player.duration || 0);
      player.play();
    });
  }
}
